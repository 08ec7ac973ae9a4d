"""The thread in which third parties' functions are called, so that none can freeze the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

_yield: Callable[[], None] = getattr(os, "sched_yield", lambda: None)

PATIENCE_S = 0.001
"""How long the event loop's thread itself waits for a call before it leaves the loop to others.

Handing a call over by a lock takes 20 µs, by the loop's selector 50 to 80. A decision that computes
holds the interpreter anyway, up to 5 ms at a time; one that waits costs the loop no more than this.
"""

YIELDS = 50
"""How often the loop's thread lets the other one go first before it falls asleep over a call.

Most decisions are over by then. Where the processors are busy, that saves a third of the trip: a
thread that fell asleep wakes up for the lock, and once more for the interpreter.
"""


class CallAbandoned(Exception):
    """A call took longer than it may; its thread was left to itself."""


class Runner(Protocol):
    """Runs a blocking call somewhere; CallAbandoned when it takes longer than `limit_s` seconds."""

    async def __call__(self, work: Callable[[], T], limit_s: float) -> T:
        """Call it and give its result, or raise what it raised."""
        ...


async def run_inline(work: Callable[[], T], limit_s: float) -> T:  # noqa: ARG001 - the shape of a Runner
    """Call it here and now, without a limit: for simulations on a virtual clock."""
    return work()


class WorkerThread:
    """Runs calls one after another in one thread; past its limit a call is abandoned with it.

    The next call gets a new thread. An abandoned thread ends when its call returns; it never keeps
    the process alive. `patience_s` is for the loop's own thread, see PATIENCE_S.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._turn = asyncio.Lock()
        self._callers = 0
        self._jobs: queue.SimpleQueue[_Job[Any] | None] | None = None

    async def __call__(self, work: Callable[[], T], limit_s: float) -> T:
        """Run one call; its time counts from when it begins, not while others are before it."""
        self._callers += 1
        try:
            if self._callers == 1:  # nobody else is here, so its turn needs no lock as long as
                job = self._begin(work)  # the loop's thread stays with it
                if job.ended_within(min(self._patience_s, limit_s)):
                    return job.result()
                async with self._turn:
                    return await self._late(job, limit_s - self._patience_s)
            async with self._turn:
                return await self._late(self._begin(work), limit_s)
        finally:
            self._callers -= 1

    async def _late(self, job: _Job[T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                await job.ended()
        except TimeoutError as error:
            raise CallAbandoned from error
        finally:
            if not job.over:
                # The time is over, or the caller was cancelled; the thread is at work.
                self.close()
        return job.result()

    def _begin(self, work: Callable[[], T]) -> _Job[T]:
        job = _Job(work)
        jobs = self._jobs or self._new_thread()
        jobs.put(job)
        return job

    def close(self) -> None:
        """Let the thread end; the next call would start another."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _new_thread(self) -> queue.SimpleQueue[_Job[Any] | None]:
        self._jobs = jobs = queue.SimpleQueue[_Job[Any] | None]()
        threading.Thread(target=_work, args=(jobs,), name="relay plugins", daemon=True).start()
        return jobs


class _Job(Generic[T]):
    """One call: the thread runs it, and the event loop waits for it in two ways."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.over = False
        self._work = work
        self._error: BaseException | None = None
        self._tell: Callable[[], None] | None = None
        self._running = threading.Lock()
        self._running.acquire()

    def run(self) -> None:
        """Call it, in the thread."""
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - carried over to the caller, whatever it is
            self._error = error
        self.over = True
        self._running.release()
        # `over` is set before this and read after `_tell` is: one of the two sees the other's.
        if self._tell is not None:
            self._tell()

    def ended_within(self, seconds: float) -> bool:
        """Keep the loop's thread until the call has ended, but no longer than this."""
        for _ in range(YIELDS):
            if self.over:
                return True
            _yield()
        return self._running.acquire(timeout=seconds)

    async def ended(self) -> None:
        """Wait until the call has ended, while the loop goes on."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not over.done():
                over.set_result(None)

        def tell_loop() -> None:
            # The loop may be closed by the time that an abandoned call returns.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        self._tell = tell_loop
        if not self.over:
            await over

    def result(self) -> T:
        """Give what the call gave, or raise what it raised; only when it is over."""
        if self._error is not None:
            raise self._error
        return self._result


def _work(jobs: queue.SimpleQueue[_Job[Any] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job
