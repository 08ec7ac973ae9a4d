"""The last calls of plugins, for `agent-relay plugins trace`, which asks again and again.

Nothing is kept while nobody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from relay_core.hooks import Hooks
from relay_core.host_api import TraceAnswer, TraceRequest
from relay_core.plans import HookCall
from relay_core.ports import Clock

CALLS_KEPT = 2_000
"""Calls that wait for whoever asks; of more the oldest are dropped, and counted."""

IDLE_S = 30.0
"""So long after the last question the calls are kept; then nobody is thought to ask any more."""

LONGEST_WAIT_S = 20.0


class CallTrace:
    """Watches the plugins' calls while somebody asks for them."""

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock
        self._calls: deque[HookCall] = deque(maxlen=CALLS_KEPT)
        self._count = 0
        self._more = asyncio.Event()
        self._asked_at = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def since(self, request: TraceRequest) -> TraceAnswer:
        """Answer the calls after a number, as soon as there is one, or none after a while."""
        self._asked_at = self._clock.monotonic()
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="call trace")
            await asyncio.sleep(0)  # it is to watch before anything else happens
        after = self._count if request.after is None else min(request.after, self._count)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(request.wait_s, LONGEST_WAIT_S)):
                while self._count <= after:
                    self._more.clear()
                    await self._more.wait()
        fresh = self._count - after
        kept = list(self._calls)[-fresh:] if fresh else []
        return TraceAnswer(calls=tuple(kept), last=self._count, dropped=fresh - len(kept))

    async def close(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        try:
            with self._hooks.watch(self._take):
                while (idle_s := self._clock.monotonic() - self._asked_at) < IDLE_S:
                    await self._clock.sleep(IDLE_S - idle_s)
        finally:
            self._watching = None
            self._calls.clear()

    def _take(self, call: HookCall) -> None:
        self._calls.append(call)
        self._count += 1
        self._more.set()
