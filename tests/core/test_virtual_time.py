"""The loop on which the harness and the simulations run: time passes when nothing is left to do."""

import asyncio
import threading
import time

from relay_core.testing import VirtualClock, virtual_runner

YEAR_S = 365 * 24 * 3_600


def test_a_year_passes_at_once_and_to_the_moment():
    began = time.monotonic()
    with virtual_runner() as runner:
        runner.run(asyncio.sleep(YEAR_S))
        clock = VirtualClock(0, runner.get_loop())

        assert YEAR_S <= clock.monotonic() < YEAR_S + 0.001
    assert time.monotonic() - began < 60


def test_timers_end_in_their_order():
    ended: list[float] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(asyncio.get_running_loop().time())

    async def all_of_them() -> None:
        await asyncio.gather(*map(sleeper, (30, 0.01, 3_600, 2, 2)))

    with virtual_runner() as runner:
        runner.run(all_of_them())

    assert [round(each, 3) for each in ended] == [0.01, 2, 2, 30, 3_600]


def test_steps_too_small_for_the_time_it_is_are_taken_all_the_same():
    async def tiny_steps() -> None:
        await asyncio.sleep(100 * YEAR_S)
        for _ in range(10):
            await asyncio.sleep(1e-8)

    with virtual_runner() as runner:
        runner.run(tiny_steps())


def test_what_has_no_timer_is_waited_for():
    async def woken() -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=lambda: loop.call_soon_threadsafe(answer.set_result, "here")
        ).start()
        return await answer

    with virtual_runner() as runner:
        assert runner.run(woken()) == "here"
        assert runner.get_loop().time() == 0
