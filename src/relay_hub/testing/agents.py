"""Agents, and the names that they are found by."""

from __future__ import annotations

import msgspec

from relay_core.messages import OPERATOR, AgentId
from relay_hub.store import Reads, Store, Transaction
from relay_hub.store.rows import UserSet
from relay_hub.testing.samples import NOW, A, B, an_agent


class AgentCases:
    """Agents, and the names that they are found by."""

    async def test_an_agent_comes_back_as_it_was_stored(self, store: Store) -> None:
        await store.write(lambda tx: tx.put_agent(an_agent()))

        found = await store.read(lambda reads: reads.agent(A))

        assert found is not None
        assert msgspec.json.encode(found) == msgspec.json.encode(an_agent())

    async def test_what_the_user_set_is_remembered_until_the_agent_is_deleted(
        self, store: Store
    ) -> None:
        async def put(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            await tx.put_user_set(A, UserSet(tags=True))
            await tx.put_agent(an_agent(label="other"))

        await store.write(put)
        kept = await store.read(lambda reads: reads.user_set(A))
        await store.write(lambda tx: tx.delete_agent(A, NOW))

        assert kept == UserSet(tags=True)
        assert await store.read(lambda reads: reads.user_set(A)) == UserSet()
        assert await store.read(lambda reads: reads.user_set(B)) == UserSet()

    async def test_agents_are_found_by_label_tag_and_capability(self, store: Store) -> None:
        async def two(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            await tx.put_agent(an_agent(B, label=None, tags=("python",)))

        await store.write(two)

        async def names(reads: Reads) -> list[tuple[AgentId, ...]]:
            asked = (("label", "backend"), ("tag", "python"), ("cap", "chat"), ("tag", "Python"))
            return [await reads.named_agents(*each) for each in asked]

        assert await store.read(names) == [(A,), (A, B), (A, B), ()]

    async def test_a_deleted_agent_is_gone_but_its_epoch_is_not(self, store: Store) -> None:
        async def work(tx: Transaction) -> int:
            await tx.put_agent(an_agent(epoch=9))
            await tx.add_agent_token(b"hash", A, NOW)
            await tx.delete_agent(A, NOW)
            return await tx.former_epoch(A)

        assert await store.write(work) == 9

        async def look(reads: Reads) -> tuple[object, ...]:
            return (
                await reads.agent(A),
                await reads.agent_ids(),
                await reads.named_agents("tag", "python"),
                dict(await reads.agent_tokens()),
            )

        assert await store.read(look) == (None, (), (), {})

    async def test_the_operator_is_there_and_in_no_list(self, store: Store) -> None:
        async def look(reads: Reads) -> tuple[object, ...]:
            operator = await reads.agent(OPERATOR)
            return operator is not None, await reads.agents(), await reads.agent_ids()

        assert await store.read(look) == (True, (), ())

    async def test_agents_come_a_page_at_a_time(self, store: Store) -> None:
        async def work(tx: Transaction) -> None:
            for name in ("c", "a", "b"):
                await tx.put_agent(an_agent(AgentId(name)))

        await store.write(work)

        async def pages(reads: Reads) -> list[list[str]]:
            asked = [
                await reads.agents(),
                await reads.agents(None, 2),
                await reads.agents(AgentId("a"), 1),
                await reads.agents(AgentId("b")),
            ]
            return [[agent.id for agent in page] for page in asked]

        assert await store.read(pages) == [["a", "b", "c"], ["a", "b"], ["b"], ["c"]]

    async def test_what_changes_often_is_stored_without_what_an_agent_is_found_by(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> None:
            await tx.put_agent(an_agent())
            await tx.touch_agent(an_agent(label="other", tags=(), last_seen_ms=99, status="away"))

        await store.write(work)

        assert await store.read(lambda reads: reads.agent(A)) == an_agent(
            last_seen_ms=99, status="away"
        )
        assert await store.read(lambda reads: reads.named_agents("label", "other")) == ()
