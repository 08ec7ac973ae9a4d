"""Time and chance for tests: a loop in which hours pass at once, numbers that come from a seed."""

from __future__ import annotations

import asyncio
import random
import selectors
from datetime import UTC, datetime

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


class _NoWaiting(selectors.DefaultSelector):
    """Waits for nothing: the time that it was to wait for has passed at once."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a timer there is nothing to jump to; then it waits as any other does.
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout is not None:
            self.passed_s += max(timeout, 0)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that goes on to the next timer as soon as nothing is ready."""

    def __init__(self) -> None:
        self._selected = _NoWaiting()
        super().__init__(self._selected)

    def time(self) -> float:
        return self._selected.passed_s


def virtual_runner() -> asyncio.Runner:
    """Make a runner whose loop jumps to the next timer as soon as nothing is ready.

    Nothing in it may wait for another thread or for a socket: time would be over before.
    """
    return asyncio.Runner(loop_factory=_VirtualLoop)


def utc_ms(when: datetime) -> int:
    """Milliseconds since the Unix epoch; a time without a zone is taken as UTC."""
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
