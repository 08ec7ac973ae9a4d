"""The real clock and the real source of randomness, behind the ports of `relay_core.ports`."""

from __future__ import annotations

import asyncio
import random
import secrets
import time


class SystemClock:
    """This machine's time; implements `relay_core.ports.Clock`."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandom:
    """The operating system's randomness; implements `relay_core.ports.Random`."""

    def random(self) -> float:
        return random.random()  # noqa: S311 - spreads retries; secrets come from token_hex

    def token_hex(self, count: int) -> str:
        return secrets.token_hex(count)
