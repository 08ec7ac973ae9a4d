"""What can be asked of the hub about claims."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

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
from relay_core.work import TaskList, TaskView
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import checks, claims, results, sending
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.service.views import as_read, may_see
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import ClaimRow


class ClaimCalls:
    """Taking, keeping and ending the work of a claimable message."""

    def __init__(self, committer: Committer, limits: Limits) -> None:
        self._committer = committer
        self._limits = limits
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

    async def all(
        self,
        agent_id: AgentId | None,
        states: Iterable[ClaimState],
        before: MessageId,
        most: int,
        caller: Caller,
    ) -> TaskList:
        """List claimable work, newest first; an agent's token lists what it sent or was sent."""
        if agent_id is not None:
            caller.must_act_as(agent_id)
        wanted = tuple(states)

        async def work(reads: Reads) -> TaskList:
            found = await reads.tasks(wanted, agent_id, caller.agent_id, before, most)
            return TaskList(claims=found)

        return await self._look(work)

    async def one(self, message_id: MessageId, caller: Caller) -> TaskView:
        """Show whose hands the work of a message went through."""

        async def work(reads: Reads) -> TaskView:
            message = await reads.message(message_id)
            deliveries = await reads.deliveries_of(message_id)
            if message is None or not await may_see(reads, message, deliveries, caller):
                raise checks.refuse(
                    "unknown_message", f"there is no message {message_id}", status=404
                )
            claim = await reads.claim(message_id)
            if claim is None:
                raise claims.not_claimable(message_id)
            own = next((each for each in deliveries if each.agent_id == caller.agent_id), None)
            shown = await as_read(reads, message, own, caller)
            return TaskView(claim=claim, message=shown, events=await reads.hand_overs(message_id))

        return await self._look(work)

    async def take(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Take the claim on a message."""
        return await self._claim(message_id, request, caller, claims.take)

    async def renew(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Keep the claim for another lease."""
        return await self._claim(message_id, request, caller, claims.renew)

    async def complete(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as done; its sender gets the result, if there is one."""
        return await self._end(message_id, request, caller, ClaimState.DONE)

    async def fail(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as failed; its sender gets the reason, if there is one."""
        return await self._end(message_id, request, caller, ClaimState.FAILED)

    async def release(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Give the work back to the others."""
        return await self._claim(message_id, request, caller, claims.release)

    async def _end(
        self, message_id: MessageId, request: ClaimRequest, caller: Caller, state: ClaimState
    ) -> Claim:
        text = request.result if (request.result or "").strip() else None
        sending.check_body(text or "", self._limits)
        has_room = self._committer.full is None

        async def end(
            tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
        ) -> ClaimRow:
            return await results.end(tx, message_id, request, state, changes, has_room=has_room)

        return await self._claim(message_id, replace(request, result=text), caller, end)

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
