"""How the turns that carried our attempts ended, told to the hub one after the other."""

from __future__ import annotations

import asyncio

from relay_core.errors import HubRefused, StaleEpoch, WireError
from relay_core.events import TurnEnded
from relay_core.hub_api import TurnReport
from relay_core.messages import AttemptId
from relay_core.ports import SessionTurnEnded
from relay_core.seat import Seat, log


class TurnReports:
    """Reports the ends of one session's turns; `run` goes on until it is cancelled."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._ended: asyncio.Queue[SessionTurnEnded] = asyncio.Queue()

    def add(self, ended: SessionTurnEnded) -> None:
        """Report the end of this turn if it carried attempts of ours."""
        if ended.attempts:
            self._ended.put_nowait(ended)

    async def told(self) -> None:
        """Return when every end that was added is at the hub."""
        await self._ended.join()

    async def run(self) -> None:
        """Report what is added; raises StaleEpoch when another instance acts for the agent."""
        seat = self._seat
        while True:
            ended = await self._ended.get()
            for attempt_id in ended.attempts:
                await self._report(attempt_id, ended)
            seat.tell(
                TurnEnded(
                    at_ms=seat.clock.now_ms(),
                    agent_id=seat.agent_id,
                    turn_id=ended.turn_id,
                    status=ended.status,
                )
            )
            self._ended.task_done()

    async def _report(self, attempt_id: AttemptId, ended: SessionTurnEnded) -> None:
        seat = self._seat
        report = TurnReport(
            turn_id=ended.turn_id,
            status=ended.status,
            final_text=ended.final_text if ended.started_by == attempt_id else None,
            agent_id=seat.agent_id,
            instance_id=seat.instance_id,
            epoch=seat.epoch,
        )
        try:
            await seat.persist(lambda: seat.hub.report_turn(attempt_id, report))
        except StaleEpoch:
            raise
        except (HubRefused, WireError) as error:
            log.info("%s: turn not reported: %s", seat.agent_id, error)
