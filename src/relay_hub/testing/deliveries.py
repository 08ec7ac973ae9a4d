"""Deliveries: their order, their steps, what is offered and what time ends."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec

from relay_core.messages import (
    AttemptId,
    ClaimState,
    Delivery,
    DeliveryState,
    MessageId,
    TurnStatus,
)
from relay_hub.store import Reads, Store, Transaction
from relay_hub.store.rows import ClaimRow
from relay_hub.testing.samples import NOW, A, B, a_message, an_agent, put, stored


class DeliveryCases:
    """Deliveries: their order, their steps, what is offered and what time ends."""

    async def test_each_recipient_has_a_sequence_of_its_own(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[int]:
            await tx.put_agent(an_agent(A))
            await tx.put_agent(an_agent(B))
            first = await stored(tx, a_message(), A, B)
            second = await stored(tx, a_message(), A)
            await tx.put_agent(an_agent(A, epoch=4))
            third = await stored(tx, a_message(), A)
            return [each.seq for each in (*first, *second, *third)]

        assert await store.write(work) == [1, 1, 2, 3]

    async def test_open_deliveries_are_offered_oldest_first_with_their_message(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            (first,) = await stored(tx, a_message(body="1"), A)
            (second,) = await stored(tx, a_message(body="2"), A)
            (third,) = await stored(tx, a_message(body="3"), A)
            await put(tx, second, state=DeliveryState.DELIVERED)
            await tx.annotate(third.id, "lang", msgspec.Raw(b'"fr"'))
            await tx.annotate(first.id, "lang", msgspec.Raw(b'"de"'))
            await tx.annotate(first.id, "lang", msgspec.Raw(b"null"))

        await store.write(work)
        offers = await store.read(lambda reads: reads.offers(A, 1_000))

        assert [each.message.body for each in offers] == ["1", "3"]
        assert [{k: bytes(v) for k, v in each.annotations.items()} for each in offers] == [
            {},
            {"lang": b'"fr"'},
        ]

    async def test_offers_are_cut_at_a_size_and_held_ones_give_way(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            for number in range(4):
                (delivery,) = await stored(tx, a_message(body=str(number) * 100), A)
                if number == 0:
                    await put(tx, delivery, state=DeliveryState.HELD)

        await store.write(work)
        offers = await store.read(lambda reads: reads.offers(A, 250))
        one = await store.read(lambda reads: reads.offers(A, 1))

        assert [each.message.body[0] for each in offers] == ["1", "2"]
        assert [each.message.body[0] for each in one] == ["1"]

    async def test_a_delivery_keeps_every_field_of_a_step(self, store: Store) -> None:
        async def work(tx: Transaction) -> Delivery:
            await tx.put_agent(an_agent())
            (delivery,) = await stored(tx, a_message(), A)
            return await put(
                tx,
                delivery,
                state=DeliveryState.DEAD,
                reason="poison",
                attempts=3,
                strikes=2,
                attempt_id=AttemptId("x"),
                claim_token=4,
                not_before_ms=5,
                held_until_ms=6,
                turn_id="t",
                turn_status=TurnStatus.FAILED,
                updated_ms=7,
                delivered_ms=8,
            )

        after = await store.write(work)

        assert await store.read(lambda reads: reads.delivery(after.id)) == after
        assert await store.read(lambda reads: reads.delivery_for(after.message_id, A)) == after
        assert await store.read(lambda reads: reads.deliveries_of(after.message_id)) == (after,)

    async def test_what_time_ends_is_found_when_its_time_has_come(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            (expiring,) = await stored(tx, a_message(), A)
            (doubted,) = await stored(tx, a_message(), A)
            (held,) = await stored(tx, a_message(expires_at=None), A)
            (retried,) = await stored(tx, a_message(expires_at=None), A)
            await put(tx, doubted, state=DeliveryState.UNCERTAIN)
            await put(tx, held, state=DeliveryState.HELD, held_until_ms=NOW + 500)
            await put(tx, retried, not_before_ms=NOW + 500)
            await tx.put_claim(
                ClaimRow(
                    message_id=expiring.message_id,
                    state=ClaimState.HELD,
                    token=1,
                    agent_id=A,
                    until_ms=NOW + 500,
                )
            )

        await store.write(work)

        async def due(reads: Reads, now: int) -> tuple[int, ...]:
            return (
                len(await reads.expired(now, 10)),
                len(await reads.hold_ended(now, 10)),
                len(await reads.retry_due(now - 10, now, 10)),
                len(await reads.lapsed(now, 10)),
            )

        assert await store.read(lambda reads: due(reads, NOW + 499)) == (0, 0, 0, 0)
        assert await store.read(lambda reads: due(reads, NOW + 500)) == (1, 1, 1, 1)
        assert await store.write(lambda tx: tx.restart_leases(NOW + 900)) == 1
        assert (await store.read(lambda reads: due(reads, NOW + 800)))[3] == 0

    async def test_history_shows_the_newest_in_some_states(self, store: Store) -> None:
        async def work(tx: Transaction) -> MessageId:
            await tx.put_agent(an_agent())
            for number in range(4):
                (delivery,) = await stored(tx, a_message(body=str(number)), A)
                if number != 2:
                    await put(tx, delivery, state=DeliveryState.DELIVERED)
            return MessageId(await tx.latest_message_id())

        newest = await store.write(work)

        async def bodies(reads: Reads) -> list[str]:
            found = await reads.history(A, ("delivered",), MessageId(1 << 53), 2)
            return [each.message.body for each in found]

        assert await store.read(bodies) == ["1", "3"]

        async def older(reads: Reads) -> list[str]:
            found = await reads.history(A, ("delivered",), newest, 2)
            return [each.message.body for each in found]

        assert await store.read(older) == ["0", "1"]

    async def test_sequences_have_no_gap_and_no_number_twice(self, store: Store) -> None:
        await store.write(lambda tx: tx.put_agent(an_agent()))

        async def add(tx: Transaction, *, number: int) -> int:
            (delivery,) = await stored(tx, a_message(), A)
            if number % 3 == 1:
                raise LookupError(number)
            return delivery.seq

        done = await asyncio.gather(
            *(store.write(partial(add, number=number)) for number in range(9)),
            return_exceptions=True,
        )

        seqs = [each for each in done if isinstance(each, int)]
        assert sorted(seqs) == [1, 2, 3, 4, 5, 6], "a unit that raises gives its number back"

    async def test_what_waits_is_counted_up_to_a_number(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            for state in (DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.DELIVERED):
                (delivery,) = await stored(tx, a_message(), A)
                await put(tx, delivery, state=state)

        await store.write(work)

        assert await store.read(lambda reads: reads.waiting_count(A, 9)) == 2
        assert await store.read(lambda reads: reads.waiting_count(A, 1)) == 1
        assert await store.read(lambda reads: reads.waiting_count(B, 9)) == 0

    async def test_a_conversation_is_finished_when_nothing_in_it_is_open_and_all_is_old(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> list[MessageId]:
            await tx.put_agent(an_agent())
            roots: list[MessageId] = []
            for state in (DeliveryState.DELIVERED, DeliveryState.QUEUED, DeliveryState.DEAD):
                (delivery,) = await stored(tx, a_message(), A)
                await put(tx, delivery, state=state)
                roots.append(delivery.message_id)
            answer = a_message(conversation_id=roots[2], created_at=NOW + 50)
            await tx.add_message(answer)
            return roots

        roots = await store.write(work)

        async def finished(reads: Reads, before: int, most: int) -> tuple[MessageId, ...]:
            return await reads.finished(before, most)

        assert await store.read(lambda reads: finished(reads, NOW, 9)) == ()
        assert await store.read(lambda reads: finished(reads, NOW + 1, 9)) == (roots[0],)
        both = await store.read(lambda reads: finished(reads, NOW + 51, 9))
        assert sorted(both) == [roots[0], roots[2]]
        assert len(await store.read(lambda reads: finished(reads, NOW + 51, 1))) == 1

    async def test_what_is_pruned_is_gone_and_its_ids_are_not_given_again(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> Delivery:
            await tx.put_agent(an_agent())
            (delivery,) = await stored(tx, a_message(), A)
            done = await put(tx, delivery, state=DeliveryState.DELIVERED)
            answer = a_message(conversation_id=done.message_id)
            await tx.add_message(answer)
            return done

        gone = await store.write(work)
        newest = await store.read(lambda reads: reads.latest_message_id())
        counts = [await store.write(lambda tx: tx.prune(gone.message_id, 1)) for _ in range(3)]
        (after,) = await store.write(lambda tx: stored(tx, a_message(), A))

        assert counts == [1, 1, 0]
        assert await store.read(lambda reads: reads.message(gone.message_id)) is None
        assert await store.read(lambda reads: reads.delivery(gone.id)) is None
        assert after.message_id > newest
        assert after.id > gone.id
