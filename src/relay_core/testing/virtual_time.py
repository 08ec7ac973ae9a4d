"""Time and chance for tests: a loop in which hours pass at once, numbers that come from a seed."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

EPOCH_MS = 1_800_000_000_000
"""When virtual time begins: 2027-01-15 08:00 UTC."""


class VirtualClock:
    """The time of a virtual loop; implements `relay_core.Clock`.

    `start_ms` is what `now_ms` says when the loop begins. Without `loop` it is the running one's
    time.
    """

    def __init__(
        self, start_ms: int = EPOCH_MS, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._start_ms = start_ms
        self._loop = loop

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._start_ms + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Seconds since the loop began."""
        return (self._loop or asyncio.get_running_loop()).time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        await asyncio.sleep(seconds)


class SeededRandom:
    """One seed's numbers; implements the core's `Random`."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(str(seed))  # noqa: S311 - tests are to be repeatable

    def random(self) -> float:
        """A number, 0 <= x < 1."""
        return self._random.random()

    def token_hex(self, count: int) -> str:
        """`count` bytes as hex; the same ones for the same seed."""
        return self._random.randbytes(count).hex()


def virtual_runner() -> asyncio.Runner:
    """Make a runner whose loop jumps to the next timer as soon as nothing is ready.

    Nothing in it may wait for another thread or for a socket: time would be over before.
    """
    return asyncio.Runner(loop_factory=lambda: _VirtualLoop(_Jumps()))


class _Jumps(selectors.BaseSelector):
    """A selector that lets the time which it is asked to wait pass at once.

    Where there is no timer to wait for it really waits: only another thread can wake the loop.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(None if timeout is None else 0)
        if not found and timeout is not None and timeout > 0:
            # A step too small for this number would be none, and the loop would ask for ever.
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return found

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is its selector's."""

    def __init__(self, jumps: _Jumps) -> None:
        self._jumps = jumps  # before the loop's own beginning, which asks for the time
        super().__init__(jumps)
        # What the loop takes for "now". The real clock's nanosecond is lost in a number of seconds
        # that is months long, and a timer of this moment would never be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumps.now


def utc_ms(when: datetime) -> int:
    """Milliseconds since the Unix epoch; a time without a zone is taken as UTC."""
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
