"""Acting for the agent of a session that this host serves."""

# Rule 1: with the agent's rights, so that its limits hold for what its model does; but for label
#         and tags, which its user sets by asking for it in the session.
# Rule 2: what may come again after a restart of the host carries a name instead of the epoch, which
#         is another one by then: the hub would take it for another request.

from __future__ import annotations

from msgspec.structs import replace

from relay_core.claiming import ClaimBook
from relay_core.hub_api import (
    AgentPatch,
    Claim,
    ClaimRequest,
    MessageView,
    Pair,
    PairAnswer,
    PairMessageRequest,
    PairRequest,
    SendRequest,
    SendResponse,
)
from relay_core.messages import OPEN_PAIR, AgentId, Message, MessageId
from relay_core.seat import Seat
from relay_core.sessions import Agent, Session


class ActingSession:
    """Implements `relay_core.acting.ActingAgent` for one session."""

    def __init__(self, seat: Seat, claims: ClaimBook) -> None:
        self._seat = seat
        self._book = claims
        self._hub = seat.hub.as_agent(seat.agent_id)

    @property
    def agent_id(self) -> AgentId:
        return self._seat.agent_id

    def session(self) -> Session:
        return self._seat.session()

    async def agents(self) -> tuple[Agent, ...]:
        return await self._hub.agents()

    async def agent(self) -> Agent:
        return await self._hub.agent(self.agent_id)

    async def change(self, patch: AgentPatch) -> Agent:
        agent = await self._seat.hub.change_agent(self.agent_id, patch)
        self._seat.agent = agent
        return agent

    # Messages ------------------------------------------------------------------------------------

    async def send(self, request: SendRequest, *, once: str | None = None) -> SendResponse:
        fence = None if once else self._seat.fence()
        signed = replace(
            request,
            from_=self.agent_id,
            instance_id=fence and fence.instance_id,
            epoch=fence and fence.epoch,
        )
        sent = await self._hub.send(signed, idempotency_key=once)
        if request.reply_to is not None:
            self._seat.tell_reply(sent.id, request.reply_to)
        return sent

    async def message(self, message_id: int) -> MessageView:
        return await self._hub.message(message_id)

    async def inbox(self, *, before: int | None = None, most: int = 100) -> tuple[Message, ...]:
        return await self._hub.newest(self.agent_id, before=before, most=most)

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        return await self._hub.thread(message_id, since=since)

    # Work ----------------------------------------------------------------------------------------

    async def claims(self) -> tuple[Claim, ...]:
        return await self._hub.claims(self._seat.fence())

    async def claim(self, message_id: int) -> Claim:
        request = replace(self._claim_request(), kept=True)
        claim = await self._hub.claim(MessageId(message_id), request)
        self._book.keep(claim)
        return claim

    async def complete(self, message_id: int, result: str | None = None) -> Claim:
        claim = await self._hub.complete(MessageId(message_id), self._claim_request(result))
        self._book.forget(claim.message_id)
        return claim

    async def fail(self, message_id: int, reason: str | None = None) -> Claim:
        claim = await self._hub.fail(MessageId(message_id), self._claim_request(reason))
        self._book.forget(claim.message_id)
        return claim

    async def release(self, message_id: int) -> Claim:
        claim = await self._hub.release(MessageId(message_id), self._claim_request())
        self._book.forget(claim.message_id)
        return claim

    # Pairs ---------------------------------------------------------------------------------------

    async def pair(self) -> Pair | None:
        found = await self._hub.pairs(self.agent_id, states=OPEN_PAIR)
        return found[0] if found else None

    async def invite(
        self, target: str, *, objective: str | None = None, once: str | None = None
    ) -> Pair:
        request = PairRequest(target=target, from_=self.agent_id, objective=objective)
        return await self._hub.invite(request, idempotency_key=once)

    async def accept(self, pair_id: str) -> Pair:
        return await self._hub.accept_pair(pair_id, self._pair_answer())

    async def reject(self, pair_id: str) -> Pair:
        return await self._hub.reject_pair(pair_id, self._pair_answer())

    async def tell_partner(
        self,
        pair_id: str,
        body: str,
        *,
        subject: str | None = None,
        reply_to: int | None = None,
        once: str | None = None,
    ) -> SendResponse:
        request = PairMessageRequest(
            body=body,
            from_=self.agent_id,
            subject=subject,
            reply_to=None if reply_to is None else MessageId(reply_to),
        )
        return await self._hub.send_to_pair(pair_id, request, idempotency_key=once)

    async def hang_up(self, pair_id: str) -> Pair:
        return await self._hub.hang_up(pair_id, self._pair_answer())

    def _claim_request(self, result: str | None = None) -> ClaimRequest:
        fence = self._seat.fence()
        return ClaimRequest(
            agent_id=fence.agent_id,
            instance_id=fence.instance_id,
            epoch=fence.epoch,
            result=result,
        )

    def _pair_answer(self) -> PairAnswer:
        fence = self._seat.fence()
        return PairAnswer(agent_id=fence.agent_id, instance_id=fence.instance_id, epoch=fence.epoch)
