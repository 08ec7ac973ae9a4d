"""The driver of echo agents, for the conformance kit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from relay_core import Adapter, AdapterError, Clock
from relay_core.testing.adapter_driver import (
    Driver,
    Options,
    PlainDriver,
    Play,
    SystemClock,
    without,
)
from relay_plugins.echo import EchoAdapter, EchoSession


class HeldClock:
    """A clock on which every sleep can be made to go on; what an echo agent does is to sleep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open = asyncio.Event()
        self._open.set()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._open.wait()

    def hold(self) -> None:
        """Let no sleep end until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let every sleep end in its time."""
        self._open.set()


class EchoDriver(PlainDriver):
    """Plays what can happen to an echo agent: little, for it has no user."""

    name = "echo"
    agent = "echo agents"
    cannot: Mapping[Play, str] = {
        **without(Play.TYPE, Play.STOP, because="an echo agent has no user"),
        **without(Play.ASK, because="an echo agent asks for no approval"),
        **without(Play.TOOL, because="an echo agent runs no tools"),
        **without(Play.SHOW, because="an echo agent has no screen"),
        **without(Play.KILL, Play.RENEW, because="an echo agent lives and ends with its host"),
    }

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._turns = HeldClock(clock)
        self._adapter = EchoAdapter(self._turns)
        self._numbers = itertools.count()
        self._sessions: dict[str, EchoSession] = {}

    def new_adapter(self) -> Adapter:
        self._adapter = EchoAdapter(self._turns)
        return self._adapter

    async def begin(self) -> str:
        session = self._adapter.begin(f"kit{next(self._numbers)}")
        self._sessions[session.name] = session
        return session.name

    async def inputs(self, key: str) -> tuple[str, ...]:
        return tuple(item.text for item in self._sessions[key].history)

    async def resting(self, key: str) -> bool:
        return self._sessions[key].turn is None

    async def last_words(self, key: str) -> str | None:
        """It has nothing to answer: nobody is there to send it to."""
        del key
        return "nothing to answer"

    async def hold(self, key: str, doing: Play) -> None:
        if doing is not Play.THINK:
            await super().hold(key, doing)
        self._turns.hold()

    async def release(self, key: str) -> None:
        del key
        self._turns.release()


@asynccontextmanager
async def open_driver(folder: Path, options: Options) -> AsyncGenerator[Driver]:
    """Open the driver; AdapterError when a program is named, for there is none."""
    del folder
    if options.program is not None:
        raise AdapterError("echo", "echo agents have no program")
    yield EchoDriver(SystemClock())
