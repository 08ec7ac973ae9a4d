"""A hub and the host on it, started in the caller's loop: what the harness is put together from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib import metadata
from typing import TypeVar, cast

import msgspec

from relay_core.control import ControlServer, body_of
from relay_core.hookspecs import hookimpl
from relay_core.host import Host
from relay_core.ports import AdapterRegistrar, Clock, HubPort, Random
from relay_core.sessions import Registration, RegistrationPatch
from relay_core.testing.loading import HarnessError
from relay_core.testing.memory_agent import MemoryAgent

HUBS = "agent_relay_hubs"
"""The entry-point group in which the harness finds the hub that it runs against: `memory`."""

MEMORY = "memory"
START_LIMIT_S = 30.0

T = TypeVar("T")
OpenHub = Callable[[Clock, Random], AbstractAsyncContextManager[HubPort]]


class RunningHost:
    """A hub and the host that runs on it."""

    def __init__(
        self, new_host: Callable[[HubPort], tuple[Host, ControlServer]], open_hub: OpenHub
    ) -> None:
        self._new_host = new_host
        self._open_hub = open_hub
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self.hub: HubPort
        self.host: Host

    async def start(self, clock: Clock, random: Random) -> None:
        """Open the hub and start a host on it."""
        self.hub = await self._stack.enter_async_context(self._open_hub(clock, random))
        await self._start_host()

    async def restart(self) -> None:
        """End the host and start another one; the hub goes on."""
        await self._stop_host()
        await self._start_host()

    async def stop(self) -> None:
        """End both."""
        await self._stop_host()
        await self._stack.aclose()

    async def ask(self, op: str, body: object, kind: type[T]) -> T:
        """Ask the host what a command asks on its control socket; HarnessError where it refuses."""
        line = msgspec.json.encode({"v": 1, "op": op, "body": body_of(body)})
        answer = await self._control.answer(line)
        if not answer.ok:
            raise HarnessError(f"{op}: {answer.detail}")
        return msgspec.json.decode(answer.body, type=kind)

    async def _start_host(self) -> None:
        self.host, self._control = self._new_host(self.hub)
        self._task = asyncio.create_task(self.host.run(), name="host")
        ready = asyncio.create_task(self.host.ready.wait())
        await asyncio.wait(
            {self._task, ready}, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        if self._task.done():
            await self._task
        elif not self.host.ready.is_set():
            raise HarnessError(f"the host did not start within {START_LIMIT_S:g} s")

    async def _stop_host(self) -> None:
        task, self._task = self._task, None
        if task is None or task.done():
            return
        self.host.stop()
        await task


class MemoryPlugin:
    """The plugin that brings the agent in memory, and says of its sessions what a test wants."""

    def __init__(self, agent: MemoryAgent, wanted: dict[str, RegistrationPatch]) -> None:
        self._agent = agent
        self._wanted = wanted

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        """Bring the agent."""
        register.adapter(self._agent)

    @hookimpl(trylast=True)
    def on_register(self, registration: Registration) -> RegistrationPatch | None:
        """Say what the test wants of a session, where no plugin under test has said it."""
        return self._wanted.get(registration.thread_id or "")


class NoSocket(ControlServer):
    """The host's control socket without a socket: `answer` is called instead."""

    async def open(self) -> None:
        """Nothing to listen on."""

    async def close(self) -> None:
        """Nothing to close."""


def hub_in_memory() -> OpenHub:
    """Find the hub to test against; the core knows none by itself."""
    for point in metadata.entry_points(group=HUBS, name=MEMORY):
        return cast("OpenHub", point.load())
    raise HarnessError("there is no hub to test against: pip install agent-relay-codex")
