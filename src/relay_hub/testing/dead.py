"""Dead letters, and how a delivery became one."""

from __future__ import annotations

from relay_core.messages import AgentId, AttemptId, DeliveryId, DeliveryState
from relay_hub.store import Reads, Store, Transaction
from relay_hub.store.rows import AttemptRow
from relay_hub.testing.samples import NOW, A, B, a_message, an_agent, put, stored, two_agents


class DeadLetterCases:
    """Dead letters, and how a delivery became one."""

    async def test_dead_letters_are_listed_until_somebody_sees_to_them(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[DeliveryId]:
            await two_agents(tx)
            ids: list[DeliveryId] = []
            for body in ("1" * 300, "2", "3", "4"):
                (delivery,) = await stored(tx, a_message(body=body), A)
                await put(tx, delivery, state=DeliveryState.DEAD, reason="poison")
                ids.append(delivery.id)
            (alive,) = await stored(tx, a_message(), B)
            await tx.put_retried(ids[2], alive.id)
            await tx.put_dropped(ids[3], NOW)
            return ids

        ids = await store.write(work)

        async def listed(
            reads: Reads, agent: AgentId | None, reader: AgentId | None, before: int, most: int
        ) -> list[DeliveryId]:
            found = await reads.dead_letters(agent, reader, DeliveryId(before), most)
            return [each.delivery.id for each in found]

        async def look(reads: Reads) -> list[list[DeliveryId]]:
            return [
                await listed(reads, None, None, 1 << 53, 9),
                await listed(reads, None, None, 1 << 53, 1),
                await listed(reads, None, None, ids[1], 9),
                await listed(reads, A, A, 1 << 53, 9),
                await listed(reads, B, None, 1 << 53, 9),
                await listed(reads, None, B, 1 << 53, 9),
                await listed(reads, None, AgentId("c"), 1 << 53, 9),
            ]

        both = [ids[1], ids[0]]
        assert await store.read(look) == [both, [ids[1]], [ids[0]], both, [], both, []]
        (letter, *_) = await store.read(
            lambda reads: reads.dead_letters(None, None, DeliveryId(ids[1]), 9)
        )
        assert (letter.from_, letter.to, letter.excerpt) == (B, "a", "1" * 200)
        retried = await store.read(lambda reads: reads.delivery(ids[2]))
        assert retried is not None
        assert retried.retried_as is not None
        assert await store.read(lambda reads: reads.dropped_ms(ids[3])) == NOW
        assert await store.read(lambda reads: reads.dropped_ms(ids[2])) is None

    async def test_every_step_and_every_attempt_of_a_delivery_is_kept(self, store: Store) -> None:
        async def work(tx: Transaction) -> DeliveryId:
            await tx.put_agent(an_agent())
            (delivery,) = await stored(tx, a_message(), A)
            for number, name in enumerate(("x", "y")):
                await tx.add_attempt(
                    AttemptRow(
                        id=AttemptId(name),
                        agent_id=A,
                        thread_id="t",
                        delivery_ids=(delivery.id,),
                        started_ms=number,
                    )
                )
                await tx.resolve_attempt(AttemptId(name), "absent", None, NOW)
            held = await put(tx, delivery, state=DeliveryState.HELD, reason="later", updated_ms=5)
            await put(tx, held, state=DeliveryState.DEAD, attempt_id=AttemptId("y"), updated_ms=6)
            return delivery.id

        delivery_id = await store.write(work)
        attempts = await store.read(lambda reads: reads.attempts_of(delivery_id))
        steps = await store.read(lambda reads: reads.transitions_of(delivery_id))

        assert [(each.id, each.outcome, each.delivery_ids) for each in attempts] == [
            ("x", "absent", (delivery_id,)),
            ("y", "absent", (delivery_id,)),
        ]
        assert [(each.at_ms, each.before, each.after, each.reason) for each in steps] == [
            (5, "queued", "held", "later"),
            (6, "held", "dead", "later"),
        ]
        assert [each.attempt_id for each in steps] == [None, "y"]
        assert steps[0].event == "Test"
