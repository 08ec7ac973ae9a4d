"""When to come to an app-server: as soon as it is there, and not as its first client."""

# Rule 1: the first client's name is what Codex reports as the originator. That is to be the
#         terminal's: to a daemon that has just begun to listen we come when somebody else is
#         connected, or when `settle_s` have passed.
# Rule 2: a call of a session's hook says that the terminal is there: then nothing is waited for.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable

from relay_core import Clock
from relay_plugins.codex.address import Address, appeared_at, has_client, socket_path

SOCKET_POLL_S = 0.2
"""How often it is looked whether a daemon's socket has appeared; a look costs microseconds."""

CLIENT_LOOKS = 3
CLIENT_POLL_S = 0.1
"""A client that stays for so many looks has shaken hands."""

HURRY_S = 0.05
"""The shortest pause, however much somebody hurries."""


class Arrival:
    """Waits for one address; with `settle_s` 0 nobody else needs to be there first."""

    def __init__(self, address: Address, clock: Clock, *, settle_s: float) -> None:
        self._address = address
        self._clock = clock
        self._settle_s = settle_s
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Come at once: whoever is to be first has come."""
        self._hurried.set()

    def done(self) -> None:
        """We have come."""
        self._hurried.clear()

    async def wait(self, not_there: Callable[[], None]) -> None:
        """Return when it is time to connect; `not_there` is called at each look at no socket."""
        path = self._address.path
        if path is None or not self._settle_s:
            return
        while (appeared := appeared_at(path)) is None:
            not_there()
            self._hurried.clear()  # it was about another Codex
            await self._clock.sleep(SOCKET_POLL_S)
        looks = 0
        while not self._hurried.is_set() and looks < CLIENT_LOOKS:
            if not 0 <= self._clock.now_ms() / 1000 - appeared < self._settle_s:
                return
            looks = looks + 1 if has_client(socket_path(path)) else 0
            await self.pause(CLIENT_POLL_S)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody hurries."""
        if self._hurried.is_set():
            await self._clock.sleep(min(seconds, HURRY_S))
        else:
            await first_of(self._clock.sleep(seconds), self._hurried.wait())


async def first_of(*waits: Coroutine[object, object, object]) -> None:
    """Wait until one of these is done, and cancel the others."""
    tasks: Iterable[asyncio.Task[object]] = [asyncio.create_task(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
