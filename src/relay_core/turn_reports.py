"""How the turns that carried our attempts ended, told to the hub one after the other."""

from __future__ import annotations

import asyncio

from relay_core.errors import HubError, HubRefused, StaleEpoch, WireError
from relay_core.events import TurnEnded
from relay_core.hub_api import TurnReport
from relay_core.messages import AttemptId, MessageId, TurnStatus
from relay_core.ports import SessionTurnEnded
from relay_core.seat import Seat, log

ANSWER_LIMIT_BYTES = 240 * 1024
"""The longest final message that is sent as an answer; a hub takes bodies of 256 KiB."""


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
                    message_ids=seat.carried(ended.attempts),
                )
            )
            self._ended.task_done()

    async def _report(self, attempt_id: AttemptId, ended: SessionTurnEnded) -> None:
        try:
            await self._tell(attempt_id, ended)
        except StaleEpoch:
            raise
        except (HubRefused, WireError) as error:
            log.info("%s: turn not reported: %s", self._seat.agent_id, error)

    async def _tell(self, attempt_id: AttemptId, ended: SessionTurnEnded) -> None:
        seat = self._seat
        request, text = await self._answer(attempt_id, ended)
        report = TurnReport(
            turn_id=ended.turn_id,
            status=ended.status,
            started_by=ended.started_by,
            shared=ended.other_user_messages or ended.attempts != (attempt_id,),
            final_text=text,
            cut_off=was_cut_off(ended),
            agent_id=seat.agent_id,
            instance_id=seat.instance_id,
            epoch=seat.epoch,
        )
        await seat.persist(lambda: seat.hub.report_turn(attempt_id, report))
        if request is not None:
            await self._tell_reply(request)

    async def _tell_reply(self, request: MessageId) -> None:
        """Let the observers see the answer that the hub made of the turn's last words."""
        seat = self._seat
        try:
            view = await seat.hub.message(request)
        except HubError as error:  # the answer is at the hub; only who observes here misses it
            log.info("%s: the answer to message %s: %s", seat.agent_id, request, error)
            return
        for row in view.deliveries:
            answer = row.answer
            if row.agent_id == seat.agent_id and answer and answer.reply_id is not None:
                seat.tell_reply(answer.reply_id, request)

    async def _answer(
        self, attempt_id: AttemptId, ended: SessionTurnEnded
    ) -> tuple[MessageId | None, str | None]:
        """The request that waits for the turn's last words, and these; None for both where nobody
        waits for them."""
        text = words_for_the_asker(attempt_id, ended)
        if text is None:
            return None, None
        seat = self._seat
        try:
            request = await seat.persist(lambda: seat.hub.awaited(attempt_id))
        except StaleEpoch:
            raise
        except HubRefused as error:  # the end of the turn is to be told all the same
            log.info("%s: nobody to tell the last words to: %s", seat.agent_id, error)
            return None, None
        return (None, None) if request is None else (request, text)


def was_cut_off(ended: SessionTurnEnded) -> bool:
    """Tell whether a turn failed, or ended when nobody watched: an agent that died leaves it so.

    Whoever interrupted a turn that was watched, the user or we, can go on with what it was about.
    """
    if ended.status is TurnStatus.INTERRUPTED:
        return ended.interrupted_by_us is None
    return ended.status is TurnStatus.FAILED


def words_for_the_asker(attempt_id: AttemptId, ended: SessionTurnEnded) -> str | None:
    """The last words of a turn that this attempt alone began and filled, and that completed.

    Of any other turn they may be meant for the session's user, and never leave this host. What the
    hub would not take for its size is none, too.
    """
    text = ended.final_text
    if ended.status is not TurnStatus.COMPLETED or ended.other_user_messages or text is None:
        return None
    if ended.started_by != attempt_id or ended.attempts != (attempt_id,):
        return None
    return text if len(text.encode()) <= ANSWER_LIMIT_BYTES else None
