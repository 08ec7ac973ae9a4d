"""What can be asked of the hub about claims."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from relay_core.hub_api import (
    Claim,
    ClaimList,
    ClaimRequest,
)
from relay_core.messages import (
    AgentId,
    ClaimState,
    MessageId,
)
from relay_hub.callers import Caller
from relay_hub.service import checks, claims
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import ClaimRow


class ClaimCalls:
    """Taking, keeping and ending the work of a claimable message."""

    def __init__(self, committer: Committer) -> None:
        self._change = committer.change
        self._look = committer.look

    async def held_by(
        self,
        agent_id: AgentId,
        caller: Caller,
        *,
        instance_id: str | None = None,
        epoch: int | None = None,
    ) -> ClaimList:
        """List the claims that an agent holds; the epoch is checked where it is given."""
        caller.must_act_as(agent_id)

        async def work(reads: Reads) -> ClaimList:
            checks.fence(await reads.agent(agent_id), agent_id, instance_id, epoch, required=False)
            return ClaimList(claims=await reads.claims_of(agent_id))

        return await self._look(work)

    async def take(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Take the claim on a message."""
        return await self._claim(message_id, request, caller, claims.take)

    async def renew(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Keep the claim for another lease."""
        return await self._claim(message_id, request, caller, claims.renew)

    async def complete(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as done."""
        return await self._end(message_id, request, caller, ClaimState.DONE)

    async def fail(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as failed."""
        return await self._end(message_id, request, caller, ClaimState.FAILED)

    async def release(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Give the work back to the others."""
        return await self._claim(message_id, request, caller, claims.release)

    async def _end(
        self, message_id: MessageId, request: ClaimRequest, caller: Caller, state: ClaimState
    ) -> Claim:
        async def end(
            tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
        ) -> ClaimRow:
            return await claims.end(tx, message_id, request, state, changes)

        return await self._claim(message_id, request, caller, end)

    async def _claim(
        self,
        message_id: MessageId,
        request: ClaimRequest,
        caller: Caller,
        work: Callable[[Transaction, MessageId, ClaimRequest, Changes], Awaitable[ClaimRow]],
    ) -> Claim:
        caller.must_act_as(request.agent_id)
        return await self._change(
            lambda tx, changes: work(tx, message_id, request, changes), ClaimRow, caller
        )
