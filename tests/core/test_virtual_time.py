"""The loop of `relay_core.testing` in which hours pass at once."""

import asyncio
import threading
import time

from relay_core.testing import VirtualClock, virtual_runner
from relay_core.testing.virtual_time import EPOCH_MS

DAY_S = 86_400


def test_timers_end_in_their_order_and_at_their_time():
    ended: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append((name, clock.now_ms() - EPOCH_MS))

    async def both() -> None:
        await asyncio.gather(sleeper("late", DAY_S), sleeper("soon", 0.25))

    with virtual_runner() as runner:
        clock = VirtualClock(loop=runner.get_loop())
        began = time.monotonic()
        runner.run(both())

    assert ended == [("soon", 250), ("late", DAY_S * 1000)]
    assert time.monotonic() - began < DAY_S / 100


def test_time_stands_still_while_something_is_ready():
    async def work() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    with virtual_runner() as runner:
        assert runner.run(work()) == 0


def test_a_limit_on_time_ends_what_takes_longer():
    async def limited() -> bool:
        try:
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        except TimeoutError:
            return True
        return False

    with virtual_runner() as runner:
        assert runner.run(limited())


def test_without_any_timer_it_waits_for_another_thread_as_every_loop_does():
    async def told() -> str:
        loop, answer = asyncio.get_running_loop(), asyncio.Event()
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(answer.set)).start()
        await answer.wait()
        return "told"

    with virtual_runner() as runner:
        assert runner.run(told()) == "told"
