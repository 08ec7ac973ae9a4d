"""Claims on work, and what happened to them."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from relay_core.messages import OPERATOR, AgentId, ClaimEvent, ClaimState, MessageId
from relay_core.work import HandOver
from relay_hub.store import Store, Transaction
from relay_hub.store.rows import ClaimRow
from relay_hub.testing.samples import NOW, A, B, a_message, an_agent, stored


class ClaimCases:
    """Claims on work, and what happened to them."""

    async def test_a_message_shows_who_has_its_claim(self, store: Store) -> None:
        async def work(tx: Transaction) -> MessageId:
            await tx.put_agent(an_agent())
            message_id = await tx.add_message(a_message(claimable=True))
            claim = ClaimRow(
                message_id=message_id,
                state=ClaimState.HELD,
                token=2,
                agent_id=A,
                claimed_ms=3,
                until_ms=4,
                lapses=1,
                result="r",
            )
            await tx.put_claim(replace(claim, token=1))
            await tx.put_claim(claim)
            assert await tx.claim(message_id) == claim
            return message_id

        message_id = await store.write(work)
        found = await store.read(lambda reads: reads.message(message_id))

        assert found is not None
        assert (found.claimed_by, found.claimed_at, found.claim_expires_at) == (A, 3, 4)

    async def test_work_is_listed_by_state_by_agent_and_by_reader(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[MessageId]:
            await tx.put_agent(an_agent(A))
            await tx.put_agent(an_agent(B))
            made: list[MessageId] = []
            for number, (state, holder, sender) in enumerate(
                [
                    (ClaimState.OPEN, None, OPERATOR),
                    (ClaimState.HELD, B, OPERATOR),
                    (ClaimState.DONE, A, B),
                    (ClaimState.OPEN, None, B),
                ]
            ):
                message = replace(a_message(claimable=True, body="x" * 300), from_=sender)
                recipients = (A, B) if sender == OPERATOR else (A,)
                message_id = (await stored(tx, message, *recipients))[0].message_id
                claim = ClaimRow(
                    message_id=message_id,
                    state=state,
                    token=number,
                    agent_id=holder,
                    since_ms=5,
                    result_id=MessageId(7),
                    not_sent="full",
                )
                await tx.put_claim(claim)
                assert await tx.claim(message_id) == claim
                made.append(message_id)
            return made

        ids = await store.write(work)

        async def listed(
            *states: ClaimState,
            agent: AgentId | None = None,
            reader: AgentId | None = None,
            before: int = 1 << 53,
        ) -> list[int]:
            found = await store.read(
                lambda reads: reads.tasks(
                    states or tuple(ClaimState), agent, reader, MessageId(before), 3
                )
            )
            return [ids.index(task.message_id) + 1 for task in found]

        assert await listed() == [4, 3, 2]
        assert await listed(before=ids[1]) == [1]
        assert await listed(ClaimState.HELD, ClaimState.OPEN) == [4, 2, 1]
        assert await listed(agent=A) == [4, 3, 1], "its own, and what is open for it"
        assert await listed(agent=B) == [2, 1]
        assert await listed(reader=B, before=ids[3]) == [3, 2, 1], "what it sent or was sent"
        (task,) = await store.read(
            lambda reads: reads.tasks(("held",), None, None, MessageId(1 << 53), 1)
        )
        assert (task.agent_id, task.from_, task.excerpt) == (B, OPERATOR, "x" * 200)
        assert (task.since_ms, task.result_id, task.not_sent) == (5, 7, "full")

    async def test_what_happened_to_a_claim_comes_back_in_its_order(self, store: Store) -> None:
        steps = [
            HandOver(at_ms=9, event=ClaimEvent.TAKEN, agent_id=A, token=1),
            HandOver(at_ms=8, event=ClaimEvent.LAPSED, agent_id=A, token=2),
            HandOver(at_ms=8, event=ClaimEvent.DEAD, agent_id=None, token=3),
        ]

        async def work(tx: Transaction) -> MessageId:
            await tx.put_agent(an_agent(A))
            message_id = await tx.add_message(a_message(claimable=True))
            for step in steps:
                await tx.add_hand_over(message_id, step)
            assert await tx.prune(await tx.add_message(a_message()), 1) == 1
            return message_id

        message_id = await store.write(work)
        found = await store.read(lambda reads: reads.hand_overs(message_id))
        await store.write(lambda tx: tx.prune(message_id, 1))

        assert list(found) == steps
        assert await store.read(lambda reads: reads.hand_overs(message_id)) == ()

    async def test_the_claims_of_an_agent_are_found_by_the_end_of_their_lease(
        self, store: Store
    ) -> None:
        async def work(tx: Transaction) -> list[ClaimRow]:
            await tx.put_agent(an_agent(A))
            rows: list[ClaimRow] = []
            for state, until in ((ClaimState.HELD, 9), (ClaimState.HELD, 5), (ClaimState.DONE, 1)):
                message_id = await tx.add_message(a_message(claimable=True))
                row = ClaimRow(
                    message_id=message_id, state=state, token=1, agent_id=A, until_ms=until
                )
                await tx.put_claim(row)
                rows.append(row)
            return rows

        late, soon, _ = await store.write(work)

        assert await store.read(lambda reads: reads.claims_of(A)) == (soon, late)
        assert await store.read(lambda reads: reads.claims_of(B)) == ()

    async def test_of_units_that_want_the_same_claim_one_gets_it(self, store: Store) -> None:
        async def open_work(tx: Transaction) -> MessageId:
            await tx.put_agent(an_agent(A))
            message_id = await tx.add_message(a_message(claimable=True))
            await tx.put_claim(ClaimRow(message_id=message_id, state=ClaimState.OPEN, token=0))
            return message_id

        message_id = await store.write(open_work)

        async def take(tx: Transaction) -> int | None:
            claim = await tx.claim(message_id)
            assert claim is not None
            if claim.state is not ClaimState.OPEN:
                return None
            token = claim.token + 1
            await tx.put_claim(
                replace(claim, state=ClaimState.HELD, token=token, agent_id=A, until_ms=NOW)
            )
            return token

        together = await asyncio.gather(*(store.write(take) for _ in range(8)))
        later = await store.write(take)

        assert [each for each in (*together, later) if each is not None] == [1]
