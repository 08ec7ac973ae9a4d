"""The thread in which third parties' functions are called, so that none can freeze the host."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

PATIENCE_S = 0.001
"""How long the event loop's thread itself waits for a call before it leaves the loop to others.

Handing a call over by a lock takes 20 µs, by the loop's selector 50 to 80. A decision that computes
holds the interpreter anyway, up to 5 ms at a time; one that waits costs the loop no more than this.
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
        self._jobs: queue.SimpleQueue[_Job[Any] | None] | None = None

    async def __call__(self, work: Callable[[], T], limit_s: float) -> T:
        """Run one call; its time counts from when it begins, not while others are before it."""
        async with self._turn:
            jobs = self._jobs or self._new_thread()
            job = _Job(work)
            jobs.put(job)
            patience_s = min(self._patience_s, limit_s)
            if not job.ended_within(patience_s):
                try:
                    async with asyncio.timeout(limit_s - patience_s):
                        await job.ended()
                except TimeoutError as error:
                    raise CallAbandoned from error
                finally:
                    if not job.is_over():
                        # The time is over, or the caller was cancelled; the thread is at work.
                        jobs.put(None)
                        self._jobs = None
        return job.result()

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
        self._work = work
        self._outcome: Callable[[], T] | None = None
        self._running = threading.Lock()
        self._running.acquire()
        self._tell: Callable[[], None] | None = None

    def run(self) -> None:
        """Call it, in the thread."""
        self._outcome = _outcome(self._work)
        self._running.release()
        # Set before `ended` looks for the outcome: one of the two sees what the other has done.
        if self._tell is not None:
            self._tell()

    def ended_within(self, seconds: float) -> bool:
        """Keep the loop's thread until the call has ended, but no longer than this."""
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
        if not self.is_over():
            await over

    def is_over(self) -> bool:
        """Tell whether there is an outcome."""
        return self._outcome is not None

    def result(self) -> T:
        """Give what the call gave, or raise what it raised."""
        if self._outcome is None:
            raise CallAbandoned
        return self._outcome()


def _work(jobs: queue.SimpleQueue[_Job[Any] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job


def _outcome(work: Callable[[], T]) -> Callable[[], T]:
    try:
        result = work()
    except BaseException as raised:  # noqa: BLE001 - carried over to the caller, whatever it is
        error = raised

        def fail() -> T:
            raise error

        return fail
    return lambda: result
