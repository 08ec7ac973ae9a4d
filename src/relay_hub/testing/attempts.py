"""Attempts, and the turns that carried them."""

from __future__ import annotations

from relay_core.messages import AttemptId, Delivery, DeliveryId, DeliveryState, TurnStatus
from relay_core.sessions import Agent
from relay_hub.store import Store, Transaction
from relay_hub.store.rows import AttemptRow, Traffic
from relay_hub.testing.samples import NOW, A, a_message, an_agent, put, stored


class AttemptCases:
    """Attempts, and the turns that carried them."""

    async def test_an_attempt_in_doubt_comes_with_its_offer(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            (first,) = await stored(tx, a_message(), A)
            (second,) = await stored(tx, a_message(), A)
            await tx.add_attempt(
                AttemptRow(
                    id=AttemptId("x"),
                    agent_id=A,
                    thread_id="thread",
                    delivery_ids=(second.id, first.id),
                    started_ms=NOW,
                    epoch=3,
                )
            )
            for each in (first, second):
                await put(tx, each, state=DeliveryState.INJECTING, attempt_id=AttemptId("x"))

        await store.write(work)
        offers = await store.read(lambda reads: reads.offers(A, 1_000))

        attempts = [each.attempt for each in offers]
        assert attempts[0] is not None
        assert attempts[0] == attempts[1]
        assert attempts[0].delivery_ids == tuple(each.delivery.id for each in offers)

    async def test_the_end_of_a_turn_is_kept_with_attempt_and_deliveries(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> Delivery:
            await tx.put_agent(an_agent())
            (delivery,) = await stored(tx, a_message(), A)
            attempt = AttemptRow(
                id=AttemptId("x"),
                agent_id=A,
                thread_id="t",
                delivery_ids=(delivery.id,),
                started_ms=1,
            )
            await tx.add_attempt(attempt)
            await put(tx, delivery, state=DeliveryState.DELIVERED, attempt_id=AttemptId("x"))
            await tx.resolve_attempt(AttemptId("x"), "delivered", "turn", NOW)
            await tx.end_turn(AttemptId("x"), "turn", TurnStatus.COMPLETED, "joined_a_turn")
            return delivery

        delivery = await store.write(work)
        after = await store.read(lambda reads: reads.delivery(delivery.id))
        attempt = await store.read(lambda reads: reads.attempt(AttemptId("x")))

        assert after is not None
        assert (after.turn_id, after.turn_status) == ("turn", TurnStatus.COMPLETED)
        assert attempt is not None
        assert (attempt.outcome, attempt.turn_status, attempt.no_reply) == (
            "delivered",
            TurnStatus.COMPLETED,
            "joined_a_turn",
        )

    async def test_turns_for_others_are_counted_since_a_time(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(Agent(id=A))
            for number, (for_others, outcome) in enumerate(
                [(True, None), (True, "delivered"), (True, "absent"), (False, "delivered")]
            ):
                attempt = AttemptRow(
                    id=AttemptId(f"a{number}"), agent_id=A, thread_id="t", delivery_ids=(),
                    started_ms=NOW + number, for_others=for_others,
                )  # fmt: skip
                await tx.add_attempt(attempt)
                if outcome is not None:
                    await tx.resolve_attempt(attempt.id, outcome, None, NOW)

        await store.write(work)

        every = await store.read(lambda reads: reads.turns_since(A, NOW - 1))
        later = await store.read(lambda reads: reads.turns_since(A, NOW))
        stored = await store.read(lambda reads: reads.attempt(AttemptId("a0")))
        assert (every, later) == (
            Traffic(count=2, first_ms=NOW),
            Traffic(count=1, first_ms=NOW + 1),
        )
        assert stored is not None
        assert stored.for_others

    async def test_what_is_in_doubt_is_found(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[DeliveryId]:
            await tx.put_agent(an_agent())
            ids: list[DeliveryId] = []
            for state in ("injecting", "uncertain", "queued", "delivered"):
                (delivery,) = await stored(tx, a_message(), A)
                await put(tx, delivery, state=DeliveryState(state))
                ids.append(delivery.id)
            return ids

        ids = await store.write(work)
        found = await store.read(lambda reads: reads.in_doubt(A))

        assert [each.id for each in found] == ids[:2]
