"""What can be asked of the hub about pairs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from relay_core.hub_api import (
    Pair,
    PairAnswer,
    PairList,
    PairMessageRequest,
    PairRequest,
    SendResponse,
)
from relay_core.messages import OPERATOR, AgentId, PairId, PairState
from relay_core.ports import Random
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import checks, pairs, posting, sending
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.service.presence import Presence
from relay_hub.store import Reads, Transaction

_ID_BYTES = 6

Answering = Callable[[Transaction, PairId, PairAnswer, Caller, Changes], Awaitable[Pair]]


class PairCalls:
    """Inviting, answering, talking and hanging up."""

    def __init__(
        self, committer: Committer, presence: Presence, limits: Limits, random: Random
    ) -> None:
        self._committer = committer
        self._change = committer.change
        self._look = committer.look
        self._presence = presence
        self._limits = limits
        self._random = random

    async def invite(self, request: PairRequest, caller: Caller) -> Pair:
        """Invite an agent to a pair."""
        self._committer.must_have_room()
        inviter = caller.agent_id if request.from_ is None else request.from_
        if inviter is None or inviter == OPERATOR:
            raise checks.refuse("no_sender", "from is needed: a pair is of two agents")
        caller.must_act_as(inviter)
        objective = None if request.objective is None else " ".join(request.objective.split())
        wanted = pairs.Invitation(
            id=PairId(f"pair-{self._random.token_hex(_ID_BYTES)}"),
            inviter=checks.agent_id(inviter),
            target=request.target,
            objective=checks.line("objective", objective),
            instance_id=request.instance_id,
            epoch=request.epoch,
        )
        return await self._change(
            lambda tx, changes: pairs.invite(tx, wanted, caller, changes), Pair, caller
        )

    async def accept(self, pair_id: PairId, answer: PairAnswer, caller: Caller) -> Pair:
        """Accept an invitation."""
        return await self._answer(pairs.accept, pair_id, answer, caller)

    async def reject(self, pair_id: PairId, answer: PairAnswer, caller: Caller) -> Pair:
        """Turn an invitation down."""
        return await self._answer(pairs.reject, pair_id, answer, caller)

    async def hang_up(self, pair_id: PairId, answer: PairAnswer, caller: Caller) -> Pair:
        """End a pair, or take an invitation back."""
        return await self._answer(pairs.hang_up, pair_id, answer, caller)

    async def _answer(
        self, how: Answering, pair_id: PairId, answer: PairAnswer, caller: Caller
    ) -> Pair:
        if None not in (answer.agent_id, answer.from_) and answer.agent_id != answer.from_:
            raise checks.refuse("bad_fields", "agentId and from name two agents")
        return await self._change(
            lambda tx, changes: how(tx, pair_id, answer, caller, changes), Pair, caller
        )

    async def say(
        self, pair_id: PairId, request: PairMessageRequest, caller: Caller
    ) -> SendResponse:
        """Bring what one says to the other."""
        self._committer.must_have_room()
        sending.check_body(request.body, self._limits)
        checked = replace(request, subject=checks.line("subject", request.subject))

        async def work(tx: Transaction, changes: Changes) -> SendResponse:
            delivery = await pairs.say(tx, pair_id, checked, caller, changes)
            partner = await tx.agent(delivery.agent_id)
            away = partner is None or not self._presence.is_reachable(partner)
            return SendResponse(
                id=delivery.message_id, deliveries=(posting.sent(delivery, away=away),)
            )

        return await self._change(work, SendResponse, caller)

    async def one(self, pair_id: PairId, caller: Caller) -> Pair:
        """Show a pair to the user and to those who are in it."""

        async def work(reads: Reads) -> Pair | None:
            return await reads.pair(pair_id)

        pair = await self._look(work)
        if pair is None or not any(map(caller.may_act_as, (pair.inviter, pair.invitee))):
            raise pairs.unknown(pair_id)
        return pair

    async def all(
        self,
        agent_id: AgentId | None,
        states: Sequence[PairState],
        before: PairId | None,
        most: int,
        caller: Caller,
    ) -> PairList:
        """List pairs, newest first; an agent's token lists its own."""
        whose = agent_id or caller.agent_id
        if whose is not None:
            caller.must_act_as(whose)

        async def work(reads: Reads) -> PairList:
            if before is not None and await reads.pair(before) is None:
                raise pairs.unknown(before)
            return PairList(pairs=await reads.pairs(whose, states, before, most))

        return await self._look(work)
