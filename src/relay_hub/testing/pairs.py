"""Pairs, and the one seat that each agent has."""

from __future__ import annotations

import asyncio
from functools import partial

from relay_core.messages import AgentId, MessageId, PairId, PairState
from relay_hub.store import Reads, Store, Transaction
from relay_hub.testing.samples import NOW, A, B, a_message, a_pair, an_agent, two_agents


class PairCases:
    """Pairs, and the one seat that each agent has."""

    async def test_a_pair_keeps_every_field(self, store: Store) -> None:
        pair = a_pair(
            "one",
            state=PairState.ENDED,
            objective="look",
            reason="hung_up",
            ended_by=B,
            expires_at=9,
            updated_at=NOW + 1,
        )

        async def work(tx: Transaction) -> None:
            await two_agents(tx)
            await tx.put_pair(a_pair("one", objective="look"))
            await tx.put_pair(pair)

        await store.write(work)

        assert await store.read(lambda reads: reads.pair(PairId("one"))) == pair
        assert await store.read(lambda reads: reads.pair(PairId("two"))) is None

    async def test_an_agent_has_one_seat(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[bool]:
            await two_agents(tx)
            first, second = a_pair("one"), a_pair("two")
            await tx.put_pair(first)
            await tx.put_pair(second)
            taken = [
                await tx.take_seat(A, first.id),
                await tx.take_seat(A, second.id),
                await tx.take_seat(A, first.id),
                await tx.take_seat(B, first.id),
            ]
            await tx.free_seats(second)
            still = await tx.pair_of(A)
            await tx.free_seats(first)
            free = await tx.pair_of(B)
            assert (still, free) == (first, None)
            return [*taken, await tx.take_seat(B, second.id)]

        assert await store.write(work) == [True, False, False, True, True]

    async def test_of_units_that_want_the_same_seat_one_gets_it(self, store: Store) -> None:
        await store.write(two_agents)

        async def sit(tx: Transaction, *, name: str) -> None:
            await tx.put_pair(pair := a_pair(name))
            if not await tx.take_seat(A, pair.id):
                raise LookupError(name)

        names = [str(number) for number in range(8)]
        done = await asyncio.gather(
            *(store.write(partial(sit, name=name)) for name in names),
            return_exceptions=True,
        )

        async def known(reads: Reads) -> list[bool]:
            return [await reads.pair(PairId(name)) is not None for name in names]

        assert [type(each) for each in done].count(type(None)) == 1
        assert [each is None for each in done] == await store.read(known)

    async def test_pairs_are_listed_newest_first_and_found_when_they_expire(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> None:
            await two_agents(tx)
            await tx.put_agent(an_agent(AgentId("c")))
            await tx.put_pair(a_pair("x", created_at=1, expires_at=NOW))
            await tx.put_pair(a_pair("y", created_at=1, state=PairState.ACTIVE))
            await tx.put_pair(a_pair("w", created_at=2, inviter=AgentId("c")))

        await store.write(work)

        async def ids(reads: Reads, asked: tuple[str | None, tuple[str, ...], str | None]) -> str:
            agent, states, before = asked
            whose = None if agent is None else AgentId(agent)
            at = None if before is None else PairId(before)
            return "".join(each.id for each in await reads.pairs(whose, states, at, 9))

        every = ("pending", "active", "ended")
        asked = {
            (None, every, None): "wyx",
            (None, every, "w"): "yx",
            (None, every, "y"): "x",
            (None, ("active",), None): "y",
            ("c", every, None): "w",
            ("b", every, "w"): "yx",
            ("d", every, None): "",
        }
        for each, wanted in asked.items():
            assert await store.read(partial(ids, asked=each)) == wanted
        assert await store.read(lambda reads: reads.pairs_expired(NOW - 1, 9)) == ()
        (expired,) = await store.read(lambda reads: reads.pairs_expired(NOW, 9))
        assert expired.id == "x"

    async def test_a_pair_is_forgotten_after_its_last_message(self, store: Store) -> None:
        over = a_pair("over", state=PairState.ENDED, updated_at=NOW)

        async def work(tx: Transaction) -> tuple[MessageId, MessageId]:
            await two_agents(tx)
            await tx.put_pair(over)
            await tx.put_pair(a_pair("active", state=PairState.ACTIVE))
            invite = await tx.add_message(a_message(pair_id=over.id, type="pair.invite"))
            last = await tx.add_message(a_message(pair_id=over.id, type="pair.message"))
            return invite, last

        invite, last = await store.write(work)

        async def look(reads: Reads) -> tuple[object, ...]:
            newest = await reads.pair_message(over.id)
            first = await reads.pair_message(over.id, "pair.invite")
            none = await reads.pair_message(over.id, "pair.ended")
            assert newest is not None
            assert first is not None
            return newest.id, first.id, none, await reads.forgotten_pairs(NOW + 1, 9)

        async def prune(tx: Transaction) -> tuple[object, ...]:
            for message_id in (invite, last):
                await tx.prune(message_id, 9)
            found = await tx.forgotten_pairs(NOW, 9), await tx.forgotten_pairs(NOW + 1, 9)
            await tx.prune_pair(over.id)
            return *found, await tx.pair(over.id)

        assert await store.read(look) == (last, invite, None, ())
        assert await store.write(prune) == ((), (over.id,), None)
