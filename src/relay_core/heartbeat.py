"""The hub's picture of one session, sent on each change and now and then."""

from __future__ import annotations

import asyncio

from relay_core.errors import HubError, StaleEpoch, WireError
from relay_core.hub_api import HeartbeatRequest
from relay_core.registering import STATUS_WORDS
from relay_core.seat import Seat, log
from relay_core.sessions import Activity
from relay_core.waiting import Wait


class Heartbeat:
    """Keeps the hub told how a session is; `run` goes on until it is cancelled."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._stale = asyncio.Event()
        self._wait: Wait | None = None

    def refresh(self) -> None:
        """Send the picture again soon: something in it has changed."""
        self._stale.set()

    def show(self, wait: Wait | None) -> None:
        """Show why the session is given nothing now."""
        if (self._wait and self._wait.reason) != (wait and wait.reason):
            self._stale.set()
        self._wait = wait

    async def run(self) -> None:
        """Send the picture; raises StaleEpoch when another instance acts for the agent."""
        seat, failures = self._seat, 0
        while True:
            self._stale.clear()
            try:
                await seat.hub.heartbeat(seat.agent_id, self._picture())
                failures = 0
            except StaleEpoch:
                raise
            except (HubError, WireError) as error:
                failures += 1
                log.info("%s: heartbeat: %s", seat.agent_id, error)
                await seat.clock.sleep(seat.backoff_ms(failures) / 1000)
                continue
            try:
                async with asyncio.timeout(seat.settings.heartbeat_ms / 1000):
                    await self._stale.wait()
            except TimeoutError:
                continue

    def _picture(self) -> HeartbeatRequest:
        seat = self._seat
        activity = seat.outlook.activity
        return HeartbeatRequest(
            instance_id=seat.instance_id,
            epoch=seat.epoch,
            status=STATUS_WORDS[activity],
            ready=activity is Activity.AT_REST and self._wait is None,
            waiting=self._wait.reason if self._wait else None,
            approval=seat.seen.approval,
            unattended=seat.unattended,
            last_user_turn_ms=seat.outlook.last_user_turn_ms,
        )
