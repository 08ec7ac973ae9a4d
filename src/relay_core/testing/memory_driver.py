"""The driver of the agent in memory; the shortest example of one that can play everything."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec

from relay_core.clock import SystemClock, SystemRandom
from relay_core.messages import Attempt
from relay_core.ports import (
    Adapter,
    Clock,
    Evidence,
    HandedOver,
    Injection,
    Random,
    SessionEvent,
)
from relay_core.sessions import Abilities, Activity
from relay_core.testing.adapter_driver import Driver, Options, PlainDriver, Play, without
from relay_core.testing.adapter_scene import happens
from relay_core.testing.memory_agent import MemoryAgent

LAST_WORDS = "done"
PATIENCE_S = 20.0


class Brisk:
    """Chance for an agent that is never slow: its turns take a third of a second."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def random(self) -> float:
        """Always the same small number."""
        return 0.02

    def token_hex(self, count: int) -> str:
        """Unlike any other."""
        return self._random.token_hex(count)


class MemoryAdapter:
    """One host's way to a `MemoryAgent`: several may be there, and each ends by itself."""

    def __init__(self, agent: MemoryAgent) -> None:
        self.name = agent.name
        self.agent = agent

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        async with aclosing(self.agent.watch()) as events:
            async for event in events:
                yield event

    def describe(self, key: str) -> Abilities:
        return self.agent.describe(key)

    async def inject(self, injection: Injection) -> HandedOver:
        return await self.agent.inject(injection)

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        return await self.agent.find(key, attempt, marker=marker)

    async def interrupt(self, key: str, turn_id: str) -> None:
        await self.agent.interrupt(key, turn_id)

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        return await self.agent.attach(request)

    async def detach(self, key: str) -> None:
        del key  # the thread belongs to the agent, and others may watch it

    async def close(self) -> None:
        """Nothing: the agent goes on."""


class MemoryDriver(PlainDriver):
    """Plays the user of a `MemoryAgent`, and its mishaps; `adapter` makes the adapters to it."""

    name = MemoryAgent.name
    agent = "the agent in memory"
    cannot: Mapping[Play, str] = without(
        Play.SHOW, because="an agent in memory has no screen to look at"
    )

    def __init__(
        self,
        clock: Clock,
        random: Random,
        adapter: Callable[[MemoryAgent], Adapter] = MemoryAdapter,
    ) -> None:
        self.clock = clock
        self.memory = MemoryAgent(clock, Brisk(random))
        self._adapter = adapter
        self._numbers = itertools.count(1)
        self._to_hold: Play | None = None

    def new_adapter(self) -> Adapter:
        return self._adapter(self.memory)

    async def begin(self) -> str:
        key = f"thread-{next(self._numbers)}"
        self.memory.open_thread(key)
        return key

    async def inputs(self, key: str) -> tuple[str, ...]:
        return tuple(item.text for item in self.memory.threads[key].history)

    async def resting(self, key: str) -> bool:
        return self.memory.threads[key].turn is None

    async def last_words(self, key: str) -> str | None:
        del key
        return LAST_WORDS

    async def type(self, key: str, text: str) -> None:
        self.memory.type(key, text)

    async def stop(self, key: str) -> None:
        self.memory.user_interrupts(key)

    async def hold(self, key: str, doing: Play) -> None:
        self._to_hold = doing
        self.memory.thinking.add(key)

    async def held(self, key: str) -> None:
        thread = self.memory.threads[key]

        async def taken() -> bool:
            return thread.turn is not None and not thread.pending

        await happens(taken, PATIENCE_S)
        if self._to_hold is Play.TOOL:
            self.memory.run_a_tool(key)

    async def release(self, key: str) -> None:
        self.memory.thinking.discard(key)
        self.memory.in_a_tool.discard(key)

    async def kill(self, key: str) -> None:
        self.memory.kill(key)

    async def revive(self, key: str) -> None:
        if self.memory.threads[key].activity is Activity.AWAY:
            self.memory.revive(key)

    async def ask(self, key: str) -> None:
        await self.hold(key, Play.THINK)
        self.memory.type(key, "do what needs a yes")
        await self.held(key)
        self.memory.ask(key)

    async def asking(self, key: str) -> bool:
        return self.memory.threads[key].activity is Activity.WAITING_FOR_USER

    async def answer(self, key: str) -> None:
        self.memory.answer(key)
        await self.release(key)


@asynccontextmanager
async def open_driver(folder: Path, options: Options) -> AsyncGenerator[Driver]:
    """Open the driver on this machine's time."""
    del folder, options
    driver = MemoryDriver(SystemClock(), SystemRandom())
    try:
        yield driver
    finally:
        await driver.memory.close()
