"""The thread in which third parties' functions are called, so that none can freeze the host."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
_Job = Callable[[], None]


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
    the process alive.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] | None = None

    async def __call__(self, work: Callable[[], T], limit_s: float) -> T:
        """Run one call; its time counts from when it begins, not while others are before it."""
        async with self._turn:
            jobs = self._jobs or self._new_thread()
            loop = asyncio.get_running_loop()
            done: asyncio.Future[Callable[[], T]] = loop.create_future()
            jobs.put(lambda: _report(loop, done, _outcome(work)))
            try:
                async with asyncio.timeout(limit_s):
                    outcome = await done
            except TimeoutError as error:
                raise CallAbandoned from error
            finally:
                if done.cancelled():
                    # The caller's time is over, or it was cancelled; the thread is still at work.
                    jobs.put(None)
                    self._jobs = None
        return outcome()

    def close(self) -> None:
        """Let the thread end; the next call would start another."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _new_thread(self) -> queue.SimpleQueue[_Job | None]:
        self._jobs = jobs = queue.SimpleQueue[_Job | None]()
        threading.Thread(target=_work, args=(jobs,), name="relay plugins", daemon=True).start()
        return jobs


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
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


def _report(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[Callable[[], T]],
    outcome: Callable[[], T],
) -> None:
    def tell() -> None:
        if not done.done():
            done.set_result(outcome)

    # The loop may be closed by the time that an abandoned call returns.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
