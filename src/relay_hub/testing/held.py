"""Mail that is held, and what a human says of it."""

from __future__ import annotations

from msgspec.structs import replace

from relay_core.messages import OPERATOR, AgentId, Delivery, DeliveryId, DeliveryState, MessageId
from relay_hub.store import Reads, Store, Transaction
from relay_hub.testing.samples import NOW, A, B, a_message, an_agent, put, stored


class HeldMailCases:
    """Mail that is held, and what a human says of it."""

    async def test_what_is_held_for_one_reason_is_found_oldest_first(self, store: Store) -> None:
        async def work(tx: Transaction) -> tuple[Delivery, ...]:
            await tx.put_agent(an_agent())
            await tx.put_agent(an_agent(B))
            rows = [(await stored(tx, a_message(), A))[0] for _ in range(4)]
            (others,) = await stored(tx, a_message(), B)
            held = {"state": DeliveryState.HELD, "reason": "quiet"}
            wanted = tuple([await put(tx, each, **held) for each in rows[:2]])
            await put(tx, rows[2], **{**held, "reason": "needs_yes"})
            await put(tx, rows[3], state=DeliveryState.CANCELLED, reason="quiet")
            await put(tx, others, **held)
            return wanted

        wanted = await store.write(work)

        assert await store.read(lambda reads: reads.held_because(A, "quiet")) == wanted

    async def test_what_is_held_is_listed_newest_first_and_what_waits_for_a_yes_is_counted(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> list[DeliveryId]:
            await tx.put_agent(an_agent())
            await tx.put_agent(an_agent(B))
            (first, other) = await stored(tx, a_message(body="first"), A, B)
            (second,) = await stored(tx, a_message(body="second"), A)
            (waiting,) = await stored(tx, a_message(), A)
            await put(tx, first, state=DeliveryState.HELD, reason="needs_yes")
            await put(tx, other, state=DeliveryState.HELD, reason="needs_yes")
            await put(tx, second, state=DeliveryState.HELD, reason="quiet", held_until_ms=NOW)
            await put(tx, waiting, state=DeliveryState.QUEUED, reason="needs_yes")
            return [first.id, other.id, second.id]

        first, other, second = await store.write(work)

        async def ids(reads: Reads) -> list[list[DeliveryId]]:
            newest = DeliveryId(1 << 53)
            asked = [(None, newest, 10), (A, newest, 10), (None, second, 1), (B, other, 10)]
            return [[each.delivery.id for each in await reads.held(*one)] for one in asked]

        assert await store.read(ids) == [[second, other, first], [second, first], [other], []]
        assert await store.read(lambda reads: reads.held_for_a_yes()) == 2

    async def test_a_recipient_reads_the_edited_text_and_nobody_else_does(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> list[Delivery]:
            await tx.put_agent(an_agent())
            await tx.put_agent(an_agent(B))
            deliveries = await stored(tx, a_message(from_=OPERATOR, body="as sent"), A, B)
            held = await put(tx, deliveries[0], state=DeliveryState.HELD)
            await tx.put_edited_body(held.id, "as edited")
            return deliveries

        mine, other = await store.write(work)

        async def texts(reads: Reads, agent: AgentId) -> set[tuple[str, AgentId | None]]:
            newest = MessageId(1 << 53)
            found = [each.message for each in await reads.offers(agent, 1_000)]
            found += [each.message for each in await reads.history(agent, ("held",), newest, 9)]
            found += await reads.messages_for(agent, MessageId(0), 9)
            found += await reads.messages_before(agent, newest, 9)
            return {(each.body, each.edited_by) for each in found}

        assert await store.read(lambda reads: texts(reads, A)) == {("as edited", OPERATOR)}
        assert await store.read(lambda reads: texts(reads, B)) == {("as sent", None)}
        message = await store.read(lambda reads: reads.message(mine.message_id))
        assert message is not None
        assert (message.body, message.edited_by) == ("as sent", None)
        row = await store.read(lambda reads: reads.delivery(mine.id))
        assert row is not None
        assert row.edited
        assert await store.read(lambda reads: reads.edited_body(mine.id)) == "as edited"
        assert await store.read(lambda reads: reads.edited_body(other.id)) is None
        (held,) = await store.read(lambda reads: reads.held(A, DeliveryId(1 << 53), 9))
        assert held.excerpt == "as edited"

    async def test_what_ended_while_it_waited_for_a_yes_is_told_from_what_was_let_through(
        self, store: Store
    ) -> None:
        needs_yes: dict[str, object] = {"state": DeliveryState.HELD, "reason": "needs_yes"}
        dropped: dict[str, object] = {"state": DeliveryState.SKIPPED, "reason": "dropped"}
        ways: dict[str, tuple[tuple[dict[str, object], ...], bool]] = {
            "waiting": ((needs_yes,), True),
            "dropped": ((needs_yes, dropped), True),
            "dropped and removed": ((needs_yes, dropped, {"state": DeliveryState.DEAD}), True),
            "approved": ((needs_yes, {"state": DeliveryState.QUEUED}, dropped), False),
            "held for long": (({"state": DeliveryState.HELD, "reason": "quiet"}, dropped), False),
            "only skipped": ((dropped,), False),
            "untouched": ((), False),
        }

        async def work(tx: Transaction) -> dict[str, DeliveryId]:
            await tx.put_agent(an_agent())
            ids: dict[str, DeliveryId] = {}
            for way, (steps, _) in ways.items():
                (delivery,) = await stored(tx, a_message(), A)
                ids[way] = delivery.id
                for step in steps:
                    delivery = await put(tx, delivery, **step)
            return ids

        ids = await store.write(work)

        async def told(reads: Reads) -> dict[str, bool]:
            return {way: await reads.is_withheld(number) for way, number in ids.items()}

        assert await store.read(told) == {way: wanted for way, (_, wanted) in ways.items()}

    async def test_a_yes_is_kept_with_old_and_new_deliveries(self, store: Store) -> None:
        async def work(tx: Transaction) -> tuple[DeliveryId, DeliveryId]:
            await tx.put_agent(an_agent())
            (delivery,) = await stored(tx, a_message(), A)
            said = await put(tx, delivery, approved_ms=NOW)
            again = await tx.add_delivery(replace(said, seq=await tx.next_seq(A)))
            return said.id, again

        ids = await store.write(work)

        async def approved(reads: Reads) -> list[int | None]:
            found = [await reads.delivery(each) for each in ids]
            return [None if each is None else each.approved_ms for each in found]

        assert await store.read(approved) == [NOW, NOW]
