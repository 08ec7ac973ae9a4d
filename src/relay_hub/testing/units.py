"""Units of work: all or nothing, one after another, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from relay_core.messages import MessageId
from relay_hub.store import Reads, Store, StoreFailed, Transaction
from relay_hub.testing.samples import A, a_message, an_agent


class UnitCases:
    """Units of work: all or nothing, one after another, and closing."""

    async def test_a_unit_that_raises_leaves_nothing_and_its_neighbours_stay(
        self, store: Store
    ) -> None:
        lost: list[MessageId] = []

        async def good(tx: Transaction) -> MessageId:
            return await tx.add_message(a_message(body="good"))

        async def bad(tx: Transaction) -> None:
            lost.append(await tx.add_message(a_message(body="bad")))
            raise LookupError("no")

        results = await asyncio.gather(
            store.write(good), store.write(bad), store.write(good), return_exceptions=True
        )

        ids = [each for each in results if isinstance(each, int)]
        assert [type(each) for each in results] == [int, LookupError, int]

        async def bodies(reads: Reads) -> list[str]:
            found = [await reads.message(each) for each in (*ids, *lost)]
            return [each.body for each in found if each is not None]

        assert len(set(ids)) == 2
        assert set(await store.read(bodies)) == {"good"}, "what `bad` wrote is not there"

    async def test_a_unit_sees_what_it_wrote(self, store: Store) -> None:
        async def work(tx: Transaction) -> bool:
            await tx.put_agent(an_agent())
            return await tx.agent(A) is not None

        assert await store.write(work)

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.close()

        assert await _fails(store.write(lambda tx: tx.agent(A)))
        assert await _fails(store.read(lambda reads: reads.agent(A)))

    async def test_a_store_says_how_much_room_it_takes_and_has(self, store: Store) -> None:
        before = store.size_bytes()
        await store.write(lambda tx: tx.add_message(a_message(body="x" * 200_000)))

        assert store.size_bytes() >= max(before, 1)
        assert store.free_bytes() > 0


async def _fails(work: Awaitable[object]) -> bool:
    try:
        await work
    except StoreFailed:
        return True
    return False
