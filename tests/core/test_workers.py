"""The thread that third parties are called in."""

import asyncio
import threading

import pytest

from relay_core.workers import CallAbandoned, WorkerThread, run_inline

LONG_S = 30.0


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


async def test_a_call_gives_its_result_or_raises_what_it_raised():
    worker = WorkerThread()

    assert await worker(lambda: 7, LONG_S) == 7
    with pytest.raises(ZeroDivisionError):
        await worker(lambda: 1 // 0, LONG_S)
    worker.close()


async def test_calls_share_one_thread_and_come_one_after_another():
    worker = WorkerThread()
    threads = await asyncio.gather(*(worker(threading.get_ident, LONG_S) for _ in range(20)))

    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    worker.close()


async def test_past_its_limit_a_call_is_abandoned_and_the_next_gets_a_new_thread(
    gate: threading.Event,
):
    worker = WorkerThread()
    stuck: list[int] = []

    def hang() -> None:
        stuck.append(threading.get_ident())
        gate.wait(LONG_S)

    with pytest.raises(CallAbandoned):
        await worker(hang, 0.02)

    assert await worker(threading.get_ident, LONG_S) not in stuck
    worker.close()


async def test_the_limit_counts_from_the_beginning_of_the_call(gate: threading.Event):
    worker = WorkerThread()
    first = asyncio.create_task(worker(lambda: gate.wait(LONG_S), LONG_S))
    await asyncio.sleep(0)
    second = asyncio.create_task(worker(lambda: "second", 1.0))
    await asyncio.sleep(0.05)
    gate.set()

    assert await first
    assert await second == "second"
    worker.close()


async def test_a_cancelled_caller_leaves_the_stuck_thread_behind(gate: threading.Event):
    worker = WorkerThread()
    waiting = asyncio.create_task(worker(lambda: gate.wait(LONG_S), LONG_S))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert await worker(lambda: "next", LONG_S) == "next"
    worker.close()


async def test_a_late_result_of_an_abandoned_call_disturbs_nobody(gate: threading.Event):
    worker = WorkerThread()
    ended = threading.Event()

    def late() -> str:
        gate.wait(LONG_S)
        ended.set()
        return "late"

    with pytest.raises(CallAbandoned):
        await worker(late, 0.02)
    gate.set()
    assert await asyncio.to_thread(ended.wait, LONG_S)
    assert await worker(lambda: "on time", LONG_S) == "on time"
    worker.close()


def test_a_quick_call_needs_no_trip_through_the_loop():
    worker = WorkerThread(patience_s=LONG_S)

    with pytest.raises(StopIteration) as ended:
        worker(lambda: 7, LONG_S).send(None)

    assert ended.value.value == 7
    worker.close()


async def test_a_slow_call_leaves_the_loop_to_others(gate: threading.Event):
    worker = WorkerThread()

    async def open_gate() -> None:
        gate.set()

    slow, _ = await asyncio.gather(worker(lambda: gate.wait(LONG_S), LONG_S), open_gate())

    assert slow
    worker.close()


async def test_without_patience_a_call_still_gives_its_result_or_its_error():
    worker = WorkerThread(patience_s=0.0)

    assert await worker(lambda: 7, LONG_S) == 7
    with pytest.raises(ZeroDivisionError):
        await worker(lambda: 1 // 0, LONG_S)
    worker.close()


async def test_inline_means_here_and_now():
    assert await run_inline(threading.get_ident, 0.0) == threading.get_ident()
