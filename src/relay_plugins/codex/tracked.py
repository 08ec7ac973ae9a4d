"""One thread that is watched without a subscription: what it does, whose turn it is, how turns end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from relay_core import (
    Activity,
    AdapterError,
    AttemptId,
    Provenance,
    SessionChanged,
    SessionEvent,
    SessionSeen,
    SessionTurnEnded,
    Struct,
    TurnStatus,
    WireError,
)
from relay_core import Turn as RunningTurn
from relay_plugins.codex.approval import read_mode
from relay_plugins.codex.client import Connection
from relay_plugins.codex.evidence import Handed, read_turn
from relay_plugins.codex.history import AT_REST, NOT_LOADED, read_whole_turn, recent_turns
from relay_plugins.codex.lock import ThreadLock
from relay_plugins.codex.wire import Thread, ThreadStatus, Turn

log = logging.getLogger("relay.codex")

REREAD_S = 0.05
"""How long after `systemError` a turn that reads `interrupted` is read again (seen on 0.163)."""

UNSETTLED_WAITS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""When to read again while the list of turns and the thread's status do not agree."""

ATTEMPTS_KEPT = 200
TURNS_KEPT = 100

STATUSES = {
    "completed": TurnStatus.COMPLETED,
    "interrupted": TurnStatus.INTERRUPTED,
    "failed": TurnStatus.FAILED,
}


class Carried(Struct):
    """A hand-over and the call that made it, for as long as its answer may come late."""

    handed: Handed
    connection: int
    call: int | None = None


class TrackedThread:
    """A thread of one app-server.

    `follow` reads what changed and reports it; it runs at most once at a time. Events of a thread are
    reported in order: how a turn ended before the rest that follows it, so that nobody takes a thread
    for free before it is known that its user stopped it.
    """

    def __init__(
        self,
        thread: Thread,
        *,
        lock: ThreadLock,
        attended: bool,
        report: Callable[[SessionEvent], None],
    ) -> None:
        self.thread = thread
        self.lock = lock
        self.attended = attended
        self.activity = Activity.AWAY
        self.turn: RunningTurn | None = None
        self.seen = False
        self.trouble: str | None = None
        self.unsteerable: str | None = None
        self.moved = asyncio.Event()
        self.interrupting: dict[str, bool] = {}
        self.carried: dict[AttemptId, Carried] = {}
        self._report = report
        self._newest_ended: str | None = None
        self._told_user_turn: str | None = None
        self._approval: str | None = None
        self._ended: dict[str, None] = {}
        self._shown_turn: RunningTurn | None = None
        self._dirty = False
        self._watched = False
        self._reading = asyncio.Lock()

    @property
    def id(self) -> str:
        """The thread's id, which is also the session's key."""
        return self.thread.id

    @property
    def at_rest(self) -> bool:
        """Whether a turn may be started, as far as the last broadcast said."""
        return self.activity is not Activity.AWAY and self.thread.status.type in AT_REST

    def set_status(self, status: ThreadStatus) -> None:
        """Take in a status broadcast. Tells at once that a turn began; its end is read first."""
        self.thread = msgspec.structs.replace(self.thread, status=status)
        if status.type == NOT_LOADED:
            self.go_away("the thread is not loaded")
        elif status.type not in AT_REST and self.seen:
            self._show(_activity(status), self.turn)
        self.wake()

    def wake(self) -> None:
        """Let everyone who waits for this thread look again."""
        self.moved.set()
        self.moved = asyncio.Event()

    def go_away(self, why: str) -> None:
        """Nothing can be started here for now."""
        self.trouble = why
        self.turn = None
        self._watched = False
        if self.seen:
            self._show(Activity.AWAY, None)
        else:
            self.activity = Activity.AWAY
        self.wake()

    # Hand-overs ----------------------------------------------------------------------------------

    def hand_over(self, attempt: AttemptId, at: float, connection: int) -> None:
        """Remember that an attempt is about to be sent."""
        while len(self.carried) >= ATTEMPTS_KEPT:
            del self.carried[next(iter(self.carried))]
        self.carried[attempt] = Carried(handed=Handed(at=at), connection=connection)

    def answered(self, attempt: AttemptId, turn_id: str | None) -> None:
        """Remember that Codex took it, into which turn."""
        if (carried := self.carried.get(attempt)) is not None:
            handed = Handed(at=carried.handed.at, answered=True, turn_id=turn_id)
            self.carried[attempt] = Carried(handed=handed, connection=carried.connection)

    def unanswered(self, attempt: AttemptId, call: int | None) -> None:
        """Remember that no answer came in time."""
        if (carried := self.carried.get(attempt)) is not None:
            self.carried[attempt] = Carried(
                handed=carried.handed, connection=carried.connection, call=call
            )

    def connection_lost(self, connection: int, at: float) -> None:
        """Nothing that went over that connection will be answered any more."""
        for attempt, carried in self.carried.items():
            handed = carried.handed
            if carried.connection == connection and handed.lost_at is None:
                self.carried[attempt] = Carried(
                    handed=Handed(at=handed.at, answered=True, lost_at=at, turn_id=handed.turn_id),
                    connection=connection,
                )

    # Following -----------------------------------------------------------------------------------

    async def follow(self, connection: Connection) -> None:
        """Read what changed and report it."""
        self._dirty = True
        try:
            async with self._reading:
                while self._dirty and connection.open:
                    self._dirty = False
                    await self._read_turns(connection)
        except (AdapterError, WireError) as error:
            self.trouble = str(error)
            log.info("thread %s: %s", self.id, error)

    async def report_late(self, connection: Connection, turn_id: str) -> None:
        """Report the end of a turn that ended while nobody watched, once."""
        if turn_id in self._ended:
            return
        for turn in await recent_turns(connection, self.id):
            if turn.id == turn_id and not turn.running:
                await self._report_end(connection, turn, live=False)

    async def _read_turns(self, connection: Connection) -> None:
        waits = iter(UNSETTLED_WAITS_S)
        while True:
            status = self.thread.status
            if status.type == NOT_LOADED:
                if not self.seen:
                    self._show_first(status)
                return
            turns = await recent_turns(connection, self.id)
            if self.thread.status is not status:
                continue
            if not self.seen:
                self._show_first(status)
            running = next((turn for turn in turns if turn.running), None)
            if status.type not in AT_REST and running is not None:
                self._show_running(status, running)
            wait = None if _settled(status, running) else next(waits, None)
            if wait is None:
                break
            await asyncio.sleep(wait)
        if status.type == "systemError" and turns and turns[0].status == "interrupted":
            await asyncio.sleep(REREAD_S)
            turns = await recent_turns(connection, self.id)
        await self._report_ends(connection, turns)
        if self.thread.status is not status:
            self._dirty = True  # it moved meanwhile: what this reading says of it is old news
        elif status.type in AT_REST:
            self.turn = None
            self._show(Activity.AT_REST, None)
            await self._show_approval()

    async def _report_ends(self, connection: Connection, turns: tuple[Turn, ...]) -> None:
        live = self._watched
        for turn in reversed(self._new_ends(turns)):
            await self._report_end(connection, turn, live=live)
        self._watched = True

    def _new_ends(self, turns: tuple[Turn, ...]) -> list[Turn]:
        """The turns that ended since the last reading, newest first."""
        new: list[Turn] = []
        for turn in turns:
            if turn.id == self._newest_ended:
                break
            if not turn.running:
                new.append(turn)
        if new:
            self._newest_ended = new[0].id
        return [turn for turn in new if turn.id not in self._ended]

    async def _report_end(self, connection: Connection, turn: Turn, *, live: bool) -> None:
        reading = read_turn(turn.items)
        mine = reading.provenance is Provenance.OURS or self._may_carry(turn.id)
        if mine:
            whole = await read_whole_turn(connection, self.thread, turn)
            reading = whole if whole.provenance is not Provenance.UNKNOWN else reading
        self._ended[turn.id] = None
        while len(self._ended) > TURNS_KEPT:
            del self._ended[next(iter(self._ended))]
        status = STATUSES.get(turn.status)
        if status is None:
            log.info("thread %s: turn %s ended as %s", self.id, turn.id, turn.status)
            return
        if not live and not reading.attempts:
            return
        self._report(
            SessionTurnEnded(
                key=self.id,
                turn_id=turn.id,
                status=status,
                provenance=reading.provenance,
                interrupted_by_us=self._who_interrupted(turn.id, status, live=live),
                attempts=reading.attempts,
                started_by=reading.started_by,
                other_user_messages=reading.other_user_messages,
                final_text=reading.final_text,
            )
        )

    def _who_interrupted(self, turn_id: str, status: TurnStatus, *, live: bool) -> bool | None:
        if status is not TurnStatus.INTERRUPTED:
            return False
        if turn_id in self.interrupting:
            return True if self.interrupting.pop(turn_id) else None
        return False if live else None

    def _may_carry(self, turn_id: str) -> bool:
        return any(each.handed.turn_id in {turn_id, None} for each in self.carried.values())

    # Reporting -----------------------------------------------------------------------------------

    def _show_first(self, status: ThreadStatus) -> None:
        self.seen = True
        self.trouble = None
        self.activity = _activity(status)
        self._approval = self._read_approval()
        self.report_seen()

    def report_seen(self) -> None:
        """Report the session with all that is known of it."""
        self._report(
            SessionSeen(
                key=self.id,
                thread_id=self.id,
                cwd=self.thread.cwd,
                provider="codex",
                activity=self.activity,
                turn=self.turn,
                approval=self._approval,
                model=self.thread.model,
                attended=self.attended,
            )
        )

    async def _show_approval(self) -> None:
        mode = await asyncio.to_thread(self._read_approval)
        if mode is not None and mode != self._approval:
            self._approval = mode
            self.report_seen()

    def _read_approval(self) -> str | None:
        return None if self.thread.path is None else read_mode(Path(self.thread.path))

    def _show_running(self, status: ThreadStatus, running: Turn) -> None:
        provenance = read_turn(running.items).provenance
        turn = RunningTurn(id=running.id, provenance=provenance)
        users = provenance is Provenance.USERS and self._told_user_turn != running.id
        if users:
            self._told_user_turn = running.id
        self.turn = turn
        self._show(_activity(status), turn, sign_of_user=users)

    def _show(
        self, activity: Activity, turn: RunningTurn | None, *, sign_of_user: bool = False
    ) -> None:
        same = activity is self.activity and turn == self._shown_turn and not sign_of_user
        self.activity, self._shown_turn = activity, turn
        if activity is not Activity.AWAY:
            self.trouble = None
        if not same:
            self._report(
                SessionChanged(key=self.id, activity=activity, turn=turn, sign_of_user=sign_of_user)
            )


def _activity(status: ThreadStatus) -> Activity:
    if status.type in AT_REST:
        return Activity.AT_REST
    if status.type == NOT_LOADED:
        return Activity.AWAY
    return Activity.WAITING_FOR_USER if status.active_flags else Activity.IN_TURN


def _settled(status: ThreadStatus, running: Turn | None) -> bool:
    """Whether the list of turns tells what the status does, and whose turn it is."""
    if status.type in AT_REST:
        return running is None
    return running is not None and read_turn(running.items).provenance is not Provenance.UNKNOWN
