"""A host for one session, as the relay runs it: the real sidecar, the real hub, one adapter.

Faults are played at the adapter's calls: a tap is called at one step of one delivery, once.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from typing import cast

import msgspec

from relay_core.delivery import FINAL
from relay_core.discovery import new_manager
from relay_core.failpoints import unarmed
from relay_core.hooks import Hooks
from relay_core.hookspecs import hookimpl
from relay_core.hub_api import SendRequest
from relay_core.messages import AgentId, Attempt, Delivery, Message, MessageId, Part, Prompt
from relay_core.plans import DeliveryPlan
from relay_core.ports import (
    Adapter,
    Clock,
    Evidence,
    HandedOver,
    HubPort,
    Injection,
    Random,
    SessionEvent,
    SessionSeen,
)
from relay_core.seat import Seams, SidecarSettings
from relay_core.sessions import Abilities, Activity, Session, Steering
from relay_core.sidecar import Sidecar
from relay_core.testing.adapter_scene import PATIENCE_S, Scene, Watched, happens, must, unfit
from relay_core.workers import run_inline

HUBS = "agent_relay_hubs"
MEMORY = "memory"
REPAIR_MS = 500
"""How often a sidecar looks again by itself; short, because nobody pushes to it here."""

OpenHub = Callable[[Clock, Random], AbstractAsyncContextManager[HubPort]]
Tap = Callable[[], Awaitable[None]]


class Step(enum.StrEnum):
    """Where a fault can be played."""

    BEFORE_INJECT = "before_inject"
    AFTER_INJECT = "after_inject"
    BEFORE_FIND = "before_find"
    AFTER_FIND = "after_find"


class TappedAdapter:
    """An adapter whose calls can be disturbed; what is not tapped passes through."""

    def __init__(self, adapter: Adapter) -> None:
        self.name = adapter.name
        self.taps: dict[Step, Tap] = {}
        self._adapter = adapter

    def sessions(self) -> AsyncIterator[SessionEvent]:
        return self._adapter.sessions()

    def describe(self, key: str) -> Abilities:
        return self._adapter.describe(key)

    async def inject(self, injection: Injection) -> HandedOver:
        await self._tap(Step.BEFORE_INJECT)
        handed = await self._adapter.inject(injection)
        await self._tap(Step.AFTER_INJECT)
        return handed

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        await self._tap(Step.BEFORE_FIND)
        evidence = await self._adapter.find(key, attempt, marker=marker)
        await self._tap(Step.AFTER_FIND)
        return evidence

    async def interrupt(self, key: str, turn_id: str) -> None:
        await self._adapter.interrupt(key, turn_id)

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        return await self._adapter.attach(request)

    async def detach(self, key: str) -> None:
        await self._adapter.detach(key)

    async def close(self) -> None:
        await self._adapter.close()

    async def _tap(self, step: Step) -> None:
        tap = self.taps.pop(step, None)
        if tap is not None:
            await tap()


class _Plainly:
    """Decides as simply as can be: at rest start, in a turn steer, else wait."""

    @hookimpl
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan:
        del messages
        if session.activity is Activity.AT_REST:
            return DeliveryPlan.start()
        steers = session.abilities.steer is not Steering.NONE and session.turn is not None
        if session.activity is Activity.IN_TURN and steers:
            return DeliveryPlan.steer()
        return DeliveryPlan.wait("busy")

    @hookimpl
    def format_prompt(
        self, messages: Sequence[Message], session: Session, plan: DeliveryPlan
    ) -> Prompt:
        del session, plan
        return Prompt(parts=tuple(Part(message_id=each.id, body=each.body) for each in messages))


class StagedHost:
    """Serves the scene's session through one adapter, until it is killed or ended."""

    def __init__(self, scene: Scene, watched: Watched, hub: HubPort) -> None:
        self.watched = watched
        self.adapter = TappedAdapter(watched.adapter)
        self.killed = asyncio.Event()
        self.sidecar: Sidecar | None = None
        self._scene = scene
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        manager = new_manager()
        manager.register(_Plainly(), "kit")
        self._hooks = Hooks(manager, strict=True, runner=run_inline)
        watched.follow(self._notice)

    async def die_here(self) -> None:
        """A tap: the host is killed at this line; nothing after it happens."""
        self.killed.set()
        await asyncio.Event().wait()

    async def end(self) -> None:
        """End the sidecar at whatever line it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def must_run(self) -> None:
        """End the check where the sidecar has failed."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            must(error is None, f"the sidecar failed: {error!r}")

    async def registered(self) -> AgentId:
        """Wait until the session is an agent at the hub."""
        if self.sidecar is None:
            return unfit("the adapter did not report the session")
        async with asyncio.timeout(PATIENCE_S):
            await self.sidecar.registered.wait()
        return self.sidecar.agent_id

    def _notice(self, event: SessionEvent) -> None:
        if event.key != self._scene.key:
            return
        if self.sidecar is not None:
            self.sidecar.notice(event)
        elif isinstance(event, SessionSeen):
            seams = Seams(
                adapter=self.adapter,
                hub=self._hub,
                hooks=self._hooks,
                clock=self._scene.driver.clock,
                random=self._scene.random,
                failpoint=unarmed,
            )
            settings = SidecarSettings(repair_ms=REPAIR_MS, quiet_after_interrupt_ms=0)
            self.sidecar = Sidecar(event, seams, settings, changed=lambda: None)
            self._task = asyncio.create_task(self.sidecar.run(), name="sidecar")


class Relay:
    """A hub in memory and the hosts that serve the scene's session, one after another."""

    def __init__(self, scene: Scene, hub: HubPort) -> None:
        self.scene = scene
        self._hub = hub
        self.hosts: list[StagedHost] = []
        self._agent_id = AgentId("")

    async def start_host(self) -> StagedHost:
        """Start a host on the scene's newest adapter."""
        host = StagedHost(self.scene, self.scene.watched, self._hub)
        self.hosts.append(host)
        self._agent_id = await host.registered()
        return host

    async def replace_host(self) -> StagedHost:
        """Wait until the last host is killed, and start another with an adapter of its own."""
        host = self.hosts[-1]
        if not await happens(lambda: _is_set(host.killed), PATIENCE_S):
            unfit("the delivery did not come as far as the fault")
        await host.end()
        await self.scene.renew()
        return await self.start_host()

    async def send(self, words: str) -> MessageId:
        """Send a message to the session."""
        sent = await self._hub.send(SendRequest(to=self._agent_id, body=words))
        for host in self.hosts:
            if host.sidecar is not None:
                host.sidecar.notice_mail()
        return sent.id

    async def delivered_once(self, message: MessageId, words: str) -> None:
        """Wait until nothing more is done about a message: it must be delivered, and there once."""

        async def over() -> bool:
            for host in self.hosts:
                host.must_run()
            return (await self._where(message)).state in FINAL

        if not await happens(over, PATIENCE_S * 2):
            row = await self._where(message)
            unfit(f"{words!r} is {row.state} in the end ({row.reason})")
        if not await happens(lambda: self.scene.driver.resting(self.scene.key), PATIENCE_S):
            unfit("the turn did not end")
        row, times = await self._where(message), await self.scene.count(words)
        must(times <= 1, f"{words!r} stands {times} times in the history")
        must(times == 1, f"{words!r} is {row.state}, and is not in the history")
        must(row.state == "delivered", f"{words!r} is in the history, and {row.state}")

    async def end(self) -> None:
        """End every host."""
        for host in self.hosts:
            await host.end()

    async def _where(self, message: MessageId) -> Delivery:
        view = await self._hub.as_agent(self._agent_id).message(message)
        return view.deliveries[0]


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()


def hub_in_memory() -> OpenHub | None:
    """The hub that is installed for tests; None where there is none."""
    for point in metadata.entry_points(group=HUBS, name=MEMORY):
        return cast("OpenHub", point.load())
    return None
