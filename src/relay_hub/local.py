"""The hub without a wire: the service as a `HubPort`, in the same loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping

import msgspec

from relay_core.hub_api import (
    AgentPatch,
    AnnotateRequest,
    AttemptRequest,
    Claim,
    ClaimRequest,
    Fence,
    HeartbeatRequest,
    MessageView,
    OfferList,
    Outcome,
    RegisterRequest,
    SendRequest,
    SendResponse,
    Served,
    StatusRequest,
    StreamFrame,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import AgentId, Attempt, AttemptId, DeliveryId, MessageId
from relay_core.sessions import Agent
from relay_hub.callers import USER, Caller
from relay_hub.local_agent import LocalAgentHub
from relay_hub.service import HubService

MOST_FRAMES = 10_000


class LocalHub:
    """Implements `relay_core.ports.HubPort` on a service, as one caller."""

    def __init__(self, service: HubService, caller: Caller = USER) -> None:
        self._service = service
        self._caller = caller

    async def register(self, request: RegisterRequest) -> Agent:
        return (await self._service.agents.register(request, self._caller)).agent

    async def heartbeat(self, agent_id: AgentId, request: HeartbeatRequest) -> None:
        await self._service.agents.heartbeat(agent_id, request, self._caller)

    async def set_status(self, fence: Fence, status: str) -> None:
        request = StatusRequest(status=status, instance_id=fence.instance_id, epoch=fence.epoch)
        await self._service.agents.set_status(fence.agent_id, request, self._caller)

    async def offers(self, fence: Fence) -> OfferList:
        return await self._service.deliveries.offers(
            fence.agent_id, self._caller, instance_id=fence.instance_id, epoch=fence.epoch
        )

    async def record_attempt(self, request: AttemptRequest) -> Attempt:
        return await self._service.deliveries.record_attempt(request, self._caller)

    async def report_outcome(self, attempt_id: AttemptId, outcome: Outcome) -> None:
        await self._service.deliveries.report_outcome(attempt_id, outcome, self._caller)

    async def awaited(self, attempt_id: AttemptId) -> MessageId | None:
        return (await self._service.deliveries.awaited(attempt_id, self._caller)).message_id

    async def report_turn(self, attempt_id: AttemptId, report: TurnReport) -> None:
        await self._service.deliveries.report_turn(attempt_id, report, self._caller)

    async def give_verdict(self, delivery_id: DeliveryId, verdict: VerdictRequest) -> None:
        await self._service.deliveries.give_verdict(delivery_id, verdict, self._caller)

    async def annotate(
        self, delivery_id: DeliveryId, fence: Fence, annotations: Mapping[str, msgspec.Raw]
    ) -> None:
        request = AnnotateRequest(
            annotations=dict(annotations),
            agent_id=fence.agent_id,
            instance_id=fence.instance_id,
            epoch=fence.epoch,
        )
        await self._service.deliveries.annotate(delivery_id, request, self._caller)

    async def claims(self, fence: Fence) -> tuple[Claim, ...]:
        found = await self._service.claims.held_by(
            fence.agent_id, self._caller, instance_id=fence.instance_id, epoch=fence.epoch
        )
        return found.claims

    async def claim(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.take(message_id, request, self._caller)

    async def renew(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._service.claims.renew(message_id, request, self._caller)

    async def send(self, request: SendRequest) -> SendResponse:
        return await self._service.messages.send(request, self._caller)

    async def message(self, message_id: int) -> MessageView:
        return await self._service.messages.one(MessageId(message_id), self._caller)

    async def change_agent(self, agent_id: str, patch: AgentPatch) -> Agent:
        return await self._service.agents.change(AgentId(agent_id), patch, self._caller)

    def as_agent(self, agent_id: AgentId) -> LocalAgentHub:
        """The same service with the rights of one agent and no others."""
        return LocalAgentHub(self._service, agent_id)

    async def open_stream(self) -> LocalStream:
        """Open a push connection that is a queue."""
        return LocalStream(self._service, self._caller)


class LocalStream:
    """Implements `relay_core.ports.HubStream`; frames over a bound end it, as on the wire."""

    def __init__(self, service: HubService, caller: Caller) -> None:
        self._service = service
        self._frames: deque[StreamFrame] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._subscription = service.listening.open(caller, self._take)

    def _take(self, frame: StreamFrame) -> None:
        if len(self._frames) < MOST_FRAMES:
            self._frames.append(frame)
        else:
            self._closed = True
        self._wake.set()

    async def serve(self, agents: tuple[Served, ...]) -> None:
        await self._service.listening.serve(self._subscription, agents)

    async def frames(self) -> AsyncIterator[StreamFrame]:
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._wake.set()
            await self._service.listening.close(self._subscription)
