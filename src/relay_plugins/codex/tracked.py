"""One thread, watched without a subscription: what it does, whose turn it is, how turns end."""

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
    TurnStatus,
    WireError,
)
from relay_core import Turn as RunningTurn
from relay_plugins.codex.address import ADAPTER, Process
from relay_plugins.codex.approval import read_mode
from relay_plugins.codex.client import Connection
from relay_plugins.codex.evidence import (
    AT_REST,
    NOT_LOADED,
    Handed,
    TurnReading,
    outer_turns,
    read_turn,
)
from relay_plugins.codex.handovers import HandOvers
from relay_plugins.codex.history import read_whole_turn, recent_turns
from relay_plugins.codex.injection import have_it_read
from relay_plugins.codex.terminals import Launch
from relay_plugins.codex.variables import STATE_PATH
from relay_plugins.codex.wire import Thread, ThreadStatus, Turn

log = logging.getLogger("relay.codex")

REREAD_S = 0.05
"""How long after `systemError` a turn that reads `interrupted` is read again (seen on 0.163)."""

UNSETTLED_WAITS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""When to read again while the list of turns and the thread's status do not agree."""

TURNS_KEPT = 100

RIG = "AGENT_RELAY_CODEX_RIG"

BUSY = frozenset({Activity.IN_TURN, Activity.WAITING_FOR_USER})

STATUSES = {
    "completed": TurnStatus.COMPLETED,
    "interrupted": TurnStatus.INTERRUPTED,
    "failed": TurnStatus.FAILED,
}


NO_LAUNCH = Launch(id="")


class TrackedThread:
    """A thread of one app-server; its id is the session's key.

    `follow` reads what changed and reports it, one reading at a time. What happened is reported in
    order, the end of a turn before the rest that follows it: nobody takes a thread for free before
    it is known that its user stopped it. `trouble` says why the thread is away; `unsteerable` is a
    turn that takes no input; `unsettled` tells that the list of turns said something else than the
    thread's status, so that it is to be read again.
    """

    def __init__(
        self,
        thread: Thread,
        *,
        attended: bool,
        report: Callable[[SessionEvent], None],
        launch: Launch | None = None,
    ) -> None:
        self.thread = thread
        self.launch = launch
        self.attended = attended
        self.activity = Activity.AWAY
        self.turn: RunningTurn | None = None
        self.seen = False
        self.trouble: str | None = None
        self.unsteerable: str | None = None
        self.moved = asyncio.Event()
        self.interrupting: dict[str, bool] = {}
        self.hand_overs = HandOvers()
        self.refusals = 0
        self.unsettled = False
        self._report = report
        self._newest_ended: str | None = None
        self._told_user_turn: str | None = None
        self._ours: str | None = None
        self._approval: str | None = None
        self._ended: dict[str, None] = {}
        self._shown_turn: RunningTurn | None = None
        self._closing = False
        self._dirty = False
        self._watched = False
        self._reading = asyncio.Lock()

    @property
    def id(self) -> str:
        """The thread's id."""
        return self.thread.id

    @property
    def at_rest(self) -> bool:
        """Whether a turn may be started, by the newest broadcast."""
        return self.activity is not Activity.AWAY and self.thread.status.type in AT_REST

    def set_status(self, status: ThreadStatus) -> None:
        """Take in a status. That a turn began is told at once; how one ended is read first."""
        self.thread = msgspec.structs.replace(self.thread, status=status)
        if status.type == NOT_LOADED:
            self.go_away("Codex has not loaded this thread; open it with: codex resume " + self.id)
        elif status.type not in AT_REST and self.seen:
            self._show(_activity(status), self.turn)
        self.wake()

    def began(self, turn_id: str) -> None:
        """Codex named this turn as the one that our message began: nobody has to look whose it is.

        A turn that somebody else began at that very moment is told apart when it ends.
        """
        self._ours = turn_id

    def refresh(self, thread: Thread) -> None:
        """Take in what may change about a thread beside its status."""
        self.thread = msgspec.structs.replace(
            self.thread, path=thread.path, model=thread.model, cwd=thread.cwd
        )

    def wake(self) -> None:
        """Let everyone who waits for this thread look again."""
        self.moved.set()
        self.moved = asyncio.Event()

    def go_away(self, why: str, *, closing: bool = False) -> None:
        """Nothing can be started here for now; `closing`: not before Codex is reached anew."""
        self._closing |= closing
        self.trouble = why
        self.turn = None
        self._watched = False
        if self.seen:
            self._show(Activity.AWAY, None)
        self.wake()

    def connection_lost(self, connection: int, at: float) -> None:
        """Codex is gone, or the way to it is."""
        self.hand_overs.connection_lost(connection, at)
        self._closing = False
        self.go_away("Codex is not reachable")

    def attend(self, *, attended: bool) -> None:
        """Someone is known to be there from now on, or no longer."""
        if self.attended is not attended:
            self.attended = attended
            if self.seen:
                self._report_seen()

    # Following -----------------------------------------------------------------------------------

    async def follow(self, connection: Connection) -> None:
        """Read what changed and report it."""
        self._dirty = True
        try:
            async with self._reading:
                while self._dirty and connection.open:
                    self._dirty = False
                    await self._read_and_report(connection)
        except (AdapterError, WireError) as error:
            self.trouble = error.detail.removeprefix(f"{ADAPTER}: ")
            log.info("thread %s: %s", self.id, error)

    async def report_late(self, connection: Connection, turn_id: str) -> None:
        """Report the end of a turn that ended while nobody watched, once."""
        async with self._reading:
            if turn_id in self._ended:
                return
            for turn in await self._outer_turns(connection, self.thread.status):
                if turn.id == turn_id and not turn.running:
                    await self._report_end(connection, turn, live=False)

    async def _read_and_report(self, connection: Connection) -> None:
        self._show_first(self.thread.status)
        status, turns = await self._settled(connection)
        live = self._watched
        for turn in reversed(self._new_ends(turns)):
            reading = await self._report_end(connection, turn, live=live)
            if turn is turns[0] and reading.unread and turn.status == "completed":
                await self._have_it_read(connection)
        # A thread that is not loaded is not watched: who stopped its last turn, nobody can tell.
        self._watched = status.type != NOT_LOADED
        if self.thread.status is not status:
            self._dirty = True  # it moved meanwhile: what this reading says of it is old news
        elif status.type in AT_REST:
            self.turn = None
            self._show(Activity.AT_REST, None)
            await self.show_approval()

    async def _settled(self, connection: Connection) -> tuple[ThreadStatus, tuple[Turn, ...]]:
        """Read the newest turns until they tell what the status does, or it is no use waiting."""
        waits = iter(UNSETTLED_WAITS_S)
        while True:
            status = self.thread.status
            turns = await self._outer_turns(connection, status)
            running = next((turn for turn in turns if turn.running), None)
            if running is not None and _activity(self.thread.status) in BUSY:
                self._show_running(self.thread.status, running)
            self.unsettled = status is not self.thread.status or not self._agree(status, running)
            if not self.unsettled or (wait := next(waits, None)) is None:
                break
            await asyncio.sleep(wait)
        if status.type == "systemError" and turns and turns[0].status == "interrupted":
            await asyncio.sleep(REREAD_S)
            turns = await self._outer_turns(connection, status)
        return status, turns

    async def _outer_turns(self, connection: Connection, status: ThreadStatus) -> tuple[Turn, ...]:
        turns = await recent_turns(connection, self.id)
        return outer_turns(turns, at_rest=_activity(status) not in BUSY)

    def _agree(self, status: ThreadStatus, running: Turn | None) -> bool:
        """Whether the list of turns tells what the status does, and whose turn it is."""
        if status.type == NOT_LOADED:
            return True
        if status.type in AT_REST:
            return running is None
        return running is not None and self._provenance(running) is not Provenance.UNKNOWN

    def _provenance(self, running: Turn) -> Provenance:
        return self._whose(running.id, read_turn(running.items))

    def _whose(self, turn_id: str, reading: TurnReading) -> Provenance:
        ours = reading.provenance is Provenance.UNKNOWN and turn_id == self._ours
        return Provenance.OURS if ours else reading.provenance

    def _new_ends(self, turns: tuple[Turn, ...]) -> list[Turn]:
        """The turns that ended since the last reading, newest first."""
        new: list[Turn] = []
        for turn in turns:
            # Ids grow with time. Where the newest one was taken back, older ones are still old.
            if self._newest_ended is not None and turn.id <= self._newest_ended:
                break
            if not turn.running:
                new.append(turn)
        if new:
            self._newest_ended = new[0].id
        return [turn for turn in new if turn.id not in self._ended]

    async def _have_it_read(self, connection: Connection) -> None:
        """Start a turn for a message that the thread has got and the model was not asked about."""
        try:
            self.began(await have_it_read(connection, self.id))
        except (AdapterError, WireError) as error:
            # Not so where a turn has begun meanwhile. Else the next one reads it.
            log.info("thread %s: the model has yet to read what joined: %s", self.id, error)

    async def _report_end(self, connection: Connection, turn: Turn, *, live: bool) -> TurnReading:
        self._ended[turn.id] = None
        while len(self._ended) > TURNS_KEPT:
            del self._ended[next(iter(self._ended))]
        reading = await self._read_end(connection, turn)
        status = STATUSES.get(turn.status)
        if status is None:
            log.info("thread %s: turn %s ended as %s", self.id, turn.id, turn.status)
        elif live or reading.attempts:
            self._report(
                SessionTurnEnded(
                    key=self.id,
                    turn_id=turn.id,
                    status=status,
                    provenance=self._whose(turn.id, reading),
                    interrupted_by_us=self._who_interrupted(turn.id, status, live=live),
                    attempts=reading.attempts,
                    started_by=reading.started_by,
                    other_user_messages=reading.other_user_messages,
                    final_text=reading.final_text,
                )
            )
        return reading

    async def _read_end(self, connection: Connection, turn: Turn) -> TurnReading:
        """Read the whole turn where it may carry something of ours; a summary hides steers."""
        reading = read_turn(turn.items)
        if reading.provenance is Provenance.OURS or self.hand_overs.may_be_in(turn.id):
            return await read_whole_turn(connection, self.thread, turn)
        return reading

    def _who_interrupted(self, turn_id: str, status: TurnStatus, *, live: bool) -> bool | None:
        if status is not TurnStatus.INTERRUPTED:
            return False
        if turn_id in self.interrupting:
            return True if self.interrupting.pop(turn_id) else None
        return False if live else None

    # Reporting -----------------------------------------------------------------------------------

    def _show_first(self, status: ThreadStatus) -> None:
        if not self.seen:
            self.seen = True
            self.activity = _activity(status)
            self._approval = self._read_approval()
            self._report_seen()

    def _report_seen(self) -> None:
        launch = self.launch or NO_LAUNCH
        self._report(
            SessionSeen(
                key=self.id,
                thread_id=self.id,
                cwd=self.thread.cwd,
                provider=ADAPTER,
                activity=self.activity,
                turn=self.turn,
                approval=self._approval or launch.approval,
                model=self.thread.model,
                attended=self.attended,
                launched=self.launch is not None,
                rig=launch.environment.get(RIG),
                environment=launch.environment,
                status_file=launch.environment.get(STATE_PATH.name),
            )
        )

    async def show_approval(self, rollout: Path | None = None) -> None:
        """Read what the thread may do, from its file (or one that is known before we know it)."""
        mode = await asyncio.to_thread(self._read_approval, rollout)
        if mode is not None and mode != self._approval:
            self._approval = mode
            self._report_seen()

    def _read_approval(self, rollout: Path | None = None) -> str | None:
        if rollout is None and self.thread.path is not None:
            rollout = Path(self.thread.path)
        since_ms = self.launch.at_ms if self.launch else 0
        return None if rollout is None else read_mode(rollout, since_ms)

    def _show_running(self, status: ThreadStatus, running: Turn) -> None:
        provenance = self._provenance(running)
        sign = provenance is Provenance.USERS and self._told_user_turn != running.id
        if sign:
            self._told_user_turn = running.id
        self.turn = RunningTurn(id=running.id, provenance=provenance)
        self._show(_activity(status), self.turn, sign_of_user=sign)

    def _show(
        self, activity: Activity, turn: RunningTurn | None, *, sign_of_user: bool = False
    ) -> None:
        if self._closing:
            activity, turn = Activity.AWAY, None
        same = activity is self.activity and turn == self._shown_turn and not sign_of_user
        self.activity, self._shown_turn = activity, turn
        if activity is not Activity.AWAY:
            self.trouble = None
        if not same:
            self._report(
                SessionChanged(key=self.id, activity=activity, turn=turn, sign_of_user=sign_of_user)
            )

    def handed(self, attempt: AttemptId, connection: Connection) -> Handed | None:
        """What is known of the hand-over of an attempt; None when it was made by another host."""
        return self.hand_overs.handed(attempt, connection.answered_late)

    def process_of(self, attempt: AttemptId) -> Process | None:
        """The Codex process that was handed an attempt, where it is known."""
        return self.hand_overs.process(attempt)


def _activity(status: ThreadStatus) -> Activity:
    if status.type in AT_REST:
        return Activity.AT_REST
    if status.type == NOT_LOADED:
        return Activity.AWAY
    return Activity.WAITING_FOR_USER if status.active_flags else Activity.IN_TURN
