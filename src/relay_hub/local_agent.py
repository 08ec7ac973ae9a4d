"""The hub without a wire, for one agent: the service with that agent's rights."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from relay_core.hub_api import (
    INBOX_PAGE,
    Claim,
    ClaimRequest,
    Fence,
    MessageView,
    Pair,
    PairAnswer,
    PairMessageRequest,
    PairRequest,
    SendRequest,
    SendResponse,
)
from relay_core.messages import (
    AgentId,
    Credential,
    Message,
    MessageId,
    PairId,
    PairState,
    Struct,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.service import HubService, checks, once

_LARGEST_ID = MessageId(2**53 - 1)


class LocalAgentHub:
    """Implements `relay_core.acting.AgentHub` on a service."""

    def __init__(self, service: HubService, agent_id: AgentId) -> None:
        self._service = service
        self._caller = Caller(credential=Credential.AGENT, agent_id=checks.agent_id(agent_id))

    async def send(
        self, request: SendRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        caller = self._once("/api/messages", request, idempotency_key)
        return await self._service.messages.send(request, caller)

    async def agents(self) -> tuple[Agent, ...]:
        return await self._service.agents.all(self._caller)

    async def agent(self, agent_id: str) -> Agent:
        return await self._service.agents.one(AgentId(agent_id), self._caller)

    async def message(self, message_id: int) -> MessageView:
        return await self._service.messages.one(MessageId(message_id), self._caller)

    async def newest(
        self, agent_id: str, *, before: int | None = None, most: int = INBOX_PAGE
    ) -> tuple[Message, ...]:
        last = _LARGEST_ID if before is None else min(MessageId(before), _LARGEST_ID)
        return await self._service.messages.inbox_before(
            AgentId(agent_id), last, most, self._caller
        )

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        return await self._service.messages.thread(
            MessageId(message_id), MessageId(since), INBOX_PAGE, self._caller
        )

    async def claims(self, fence: Fence) -> tuple[Claim, ...]:
        found = await self._service.claims.held_by(
            fence.agent_id, self._caller, instance_id=fence.instance_id, epoch=fence.epoch
        )
        return found.claims

    async def claim(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.take(message_id, request, self._caller)

    async def complete(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.complete(message_id, request, self._caller)

    async def fail(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.fail(message_id, request, self._caller)

    async def release(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.release(message_id, request, self._caller)

    async def invite(self, request: PairRequest, *, idempotency_key: str | None = None) -> Pair:
        caller = self._once("/api/pairs", request, idempotency_key)
        return await self._service.pairs.invite(request, caller)

    async def accept_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        return await self._service.pairs.accept(PairId(pair_id), answer, self._caller)

    async def reject_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        return await self._service.pairs.reject(PairId(pair_id), answer, self._caller)

    async def send_to_pair(
        self, pair_id: str, request: PairMessageRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        caller = self._once(f"/api/pairs/{pair_id}/messages", request, idempotency_key)
        return await self._service.pairs.say(PairId(pair_id), request, caller)

    async def hang_up(self, pair_id: str, answer: PairAnswer) -> Pair:
        return await self._service.pairs.hang_up(PairId(pair_id), answer, self._caller)

    async def pairs(
        self, agent_id: str | None = None, *, states: Iterable[PairState] = ()
    ) -> tuple[Pair, ...]:
        wanted = tuple(states) or tuple(PairState)
        whose = None if agent_id is None else AgentId(agent_id)
        return (await self._service.pairs.all(whose, wanted, None, INBOX_PAGE, self._caller)).pairs

    def _once(self, route: str, request: Struct, key: str | None) -> Caller:
        """The caller with its idempotency key, as the route of the same name would make it."""
        if key is None:
            return self._caller
        body = msgspec.json.encode(request)
        return replace(self._caller, once=once(self._caller, route, key, body))
