"""One app-server: connected while it is wanted, its threads watched, never subscribed to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import msgspec

from relay_core import (
    Activity,
    AdapterError,
    Clock,
    RelayError,
    SessionClosed,
    SessionEvent,
    SettingsError,
    WireError,
)
from relay_plugins.codex.address import ADAPTER, Address, Process, is_gone
from relay_plugins.codex.arrival import Arrival, first_of
from relay_plugins.codex.client import Connection, NotLetIn, open_connection
from relay_plugins.codex.evidence import NOT_LOADED
from relay_plugins.codex.history import is_helper, loaded_threads, read_thread
from relay_plugins.codex.lock import ThreadLock
from relay_plugins.codex.terminals import Launch, Terminals
from relay_plugins.codex.tracked import TrackedThread
from relay_plugins.codex.wire import Thread, ThreadNamed, ThreadStarted, ThreadStatusChanged

log = logging.getLogger("relay.codex")

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0
REPAIR_S = 30.0
"""How often statuses are read although nothing was broadcast."""

AWAY_REPAIR_S = 1.0
"""The same while another host holds the lock of a thread."""

AWAY_GROWTH = 1.3
LONGEST_AWAY_REPAIR_S = 10.0
"""The same while a thread is away: each second at first, then less and less often, because that it
is loaded again is broadcast as well."""

CLOSED_AFTER_S = 60.0
"""How long a session that was found by itself may be away before it counts as closed."""

T = TypeVar("T")


class AppServer:
    """Keeps one connection alive, and the threads that are wanted of it.

    `wanted` are threads that were asked for by name; with `want_all` every thread that is no helper
    is taken. `attended` tells whether someone is known to be there. `terminals` are those that
    `start` opened on it. `by_queue` tells that its sessions are reached through their queues.
    """

    by_queue = False

    def __init__(
        self,
        address: Address,
        *,
        token: Callable[[], str | None],
        settle_s: float,
        clock: Clock,
        jitter: Callable[[], float],
        report: Callable[[SessionEvent], None],
        owner: Callable[[str], AppServer | None],
    ) -> None:
        self.address = address
        self.wanted: set[str] = set()
        self.want_all = False
        self.attended = False
        self.terminals = Terminals()
        self.threads: dict[str, TrackedThread] = {}
        self.connection: Connection | None = None
        self.serial = 0
        self.trouble: str | None = None
        self.fix: str | None = None
        self.turned_away = False
        self.codex_version = ""
        self.surveyed = False
        self.progress = asyncio.Event()
        self._token = token
        self._clock = clock
        self._jitter = jitter
        self._report = report
        self._owner = owner
        self._locks: dict[str, ThreadLock] = {}
        self._left: set[str] = set()
        self._helpers: set[str] = set()
        self._away_since: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_now = asyncio.Event()
        self._arrival = Arrival(address, clock, settle_s=settle_s)
        self._idle_surveys = 0

    @property
    def codex_home(self) -> Path | None:
        """Where this Codex keeps its files; None before it was first reached."""
        home = self.connection.server.codex_home if self.connection else ""
        return Path(home) if home else None

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled, or until the terminal is gone that it
        serves alone."""
        failures = 0
        try:
            while self._is_needed(failures):
                try:
                    await self._arrival.wait(self._not_running)
                    connection = await self._connect()
                except (AdapterError, SettingsError) as error:
                    failures += 1
                    self._trouble(error)
                    self._tell_progress()
                else:
                    failures = 0
                    self._arrival.done()
                    await self._serve(connection)
                self._close_the_long_gone()
                await self._arrival.pause(self._backoff_s(failures))
        finally:
            await self._stop()

    async def _connect(self) -> Connection:
        return await open_connection(self.address, self._notified, token=self._token())

    def _is_needed(self, failures: int) -> bool:
        return not (failures and self.terminals.alone and is_gone(self.address))

    def look_now(self) -> None:
        """Survey the threads now: something more is wanted, or something is not as it was."""
        self.surveyed = False
        self._idle_surveys = 0
        self._look_now.set()

    def come_now(self) -> None:
        """Connect at once, and survey: whoever is to be the first client has come."""
        self._arrival.hurry()
        self.look_now()

    def shut_down(self, why: str) -> None:
        """Codex takes nothing any more on this connection."""
        for tracked in self.threads.values():
            tracked.go_away(why, closing=True)

    def want(self, thread_id: str) -> None:
        """Take this thread from now on, whenever it is there."""
        self.wanted.add(thread_id)
        self._left.discard(thread_id)

    def want_everything(self) -> None:
        """Take every thread of somebody's from now on."""
        self.want_all = self.attended = True
        self._left.clear()

    def open_terminal(self, launch: Launch) -> None:
        """Take the threads of a terminal from now on."""
        self.terminals.add(launch)
        if launch.alone:
            self.want_everything()
        self.look_now()

    def close_terminal(self, launch_id: str) -> None:
        """The terminal is gone, and its threads with it, but for those that were attached."""
        self.terminals.remove(launch_id)
        for tracked in list(self.threads.values()):
            ours = tracked.launch is not None and tracked.launch.id == launch_id
            if ours and tracked.id not in self.wanted:
                self.forget(tracked.id)

    def leave(self, thread_id: str) -> None:
        """Stop watching one thread, and do not take it again by itself."""
        self._left.add(thread_id)
        self.forget(thread_id)

    def has_seen(self, thread_id: str) -> bool:
        """Whether a thread was reported."""
        tracked = self.threads.get(thread_id)
        return tracked is not None and tracked.seen

    def has_process(self, process: Process) -> bool:
        """Whether this app-server is that process."""
        return self.connection is not None and self.connection.process == process

    def forget(self, thread_id: str) -> None:
        """Stop watching one thread."""
        self.wanted.discard(thread_id)
        tracked = self.threads.pop(thread_id, None)
        lock = self._locks.pop(thread_id, None)
        self._away_since.pop(thread_id, None)
        if lock is not None:
            lock.release()
        if tracked is not None:
            tracked.wake()
            if tracked.seen:
                self._report(SessionClosed(key=thread_id))
        self._tell_progress()

    # One connection ------------------------------------------------------------------------------

    async def _serve(self, connection: Connection) -> None:
        self.connection, self.trouble = connection, None
        self.serial += 1
        self._idle_surveys = 0
        self.codex_version = connection.server.version
        try:
            while not connection.lost.is_set():
                self._look_now.clear()
                try:
                    await self._survey(connection)
                except RelayError as error:  # one thread's trouble must not end the watch of all
                    self._trouble(error)
                else:
                    self.surveyed = not self._look_now.is_set()
                self._tell_progress()
                self._close_the_long_gone()
                await self._until_next_survey(connection)
        finally:
            self.connection = None
            self.surveyed = False
            now = self._clock.monotonic()
            for tracked in list(self.threads.values()):
                tracked.connection_lost(self.serial, now)
                self._away_since.setdefault(tracked.id, now)
            await connection.close()
            self._tell_progress()

    async def _until_next_survey(self, connection: Connection) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._repair_s()):
                await first_of(connection.lost.wait(), self._look_now.wait())

    def _repair_s(self) -> float:
        if any(not lock.held for lock in self._locks.values()):
            return AWAY_REPAIR_S
        waiting = self.wanted - self.threads.keys() or any(
            each.activity is Activity.AWAY or each.unsettled for each in self.threads.values()
        )
        self._idle_surveys = min(self._idle_surveys + 1, 20) if waiting else 0
        growing = AWAY_REPAIR_S * AWAY_GROWTH**self._idle_surveys
        return min(growing, LONGEST_AWAY_REPAIR_S) if waiting else REPAIR_S

    async def _survey(self, connection: Connection) -> None:
        """Read which threads there are and how they stand."""
        loaded = await loaded_threads(connection)
        ids: dict[str, None] = dict.fromkeys(self.wanted)
        ids |= dict.fromkeys(self.threads)
        if self.want_all or self.terminals:
            ids |= dict.fromkeys(each for each in loaded if each not in self._left | self._helpers)
        for thread_id in ids:
            thread = await read_thread(connection, thread_id)
            if thread is None:
                self._missing(thread_id)
            else:
                await self._consider(connection, thread)

    def _missing(self, thread_id: str) -> None:
        tracked = self.threads.get(thread_id)
        if tracked is not None:
            tracked.go_away("Codex knows no such thread any more")
            self._away_since.setdefault(thread_id, self._clock.monotonic())

    async def _consider(self, connection: Connection, thread: Thread) -> None:
        """Take a thread in, or bring what is known of it up to date."""
        tracked = self.threads.get(thread.id)
        if tracked is None:
            tracked = self._take(thread)
            if tracked is None:
                return
        tracked.refresh(thread)
        changed = tracked.thread.status != thread.status
        if changed:
            tracked.set_status(thread.status)
        away = tracked.activity is Activity.AWAY
        if changed or away or tracked.unsettled or not tracked.seen or self.by_queue:
            await tracked.follow(connection)
        self._note_presence(tracked)

    def _take(self, thread: Thread) -> TrackedThread | None:
        named = thread.id in self.wanted
        if not named and (is_helper(thread) or thread.status.type == NOT_LOADED):
            if is_helper(thread):
                self._helpers.add(thread.id)
            return None
        launch = self.terminals.owner_of(thread)
        if not (named or self.want_all or launch) or not self._mine(thread):
            return None
        home = self.codex_home
        if home is None:
            return None
        lock = self._locks.setdefault(thread.id, ThreadLock(home, thread.id))
        try:
            if not lock.acquire():
                return None
        except AdapterError as error:
            # Not another host's doing: said as it is, and the other threads go on.
            del self._locks[thread.id]
            self._trouble(error)
            return None
        attended = self.attended or named or launch is not None
        tracked = TrackedThread(thread, attended=attended, launch=launch, report=self._report)
        self.threads[thread.id] = tracked
        return tracked

    def _mine(self, thread: Thread) -> bool:
        """Whether no other app-server has this thread; one on which it is away gives it up."""
        other = self._owner(thread.id)
        if other is None or other is self:
            return True
        away = other.by_queue or other.threads[thread.id].activity is Activity.AWAY
        if not away or thread.status.type == NOT_LOADED:
            return False
        other.leave(thread.id)
        return True

    def locked_elsewhere(self) -> tuple[str, ...]:
        """The threads that another host serves; this one waits for their locks."""
        return tuple(each for each, lock in self._locks.items() if not lock.held)

    def _note_presence(self, tracked: TrackedThread) -> None:
        if tracked.activity is Activity.AWAY:
            self._away_since.setdefault(tracked.id, self._clock.monotonic())
        else:
            self._away_since.pop(tracked.id, None)

    def _close_the_long_gone(self) -> None:
        """Close what was found by itself and stays away; what was attached by name waits."""
        now = self._clock.monotonic()
        for thread_id, since in list(self._away_since.items()):
            if thread_id not in self.wanted and now - since >= CLOSED_AFTER_S:
                self.forget(thread_id)

    # Broadcasts ----------------------------------------------------------------------------------

    def _notified(self, method: str, params: msgspec.Raw) -> None:
        match method:
            case "thread/status/changed":
                changed = _read(params, ThreadStatusChanged)
                tracked = self.threads.get(changed.thread_id) if changed else None
                if changed is not None and tracked is not None:
                    tracked.set_status(changed.status)
                    self._spawn(self._follow(tracked))
                elif changed is not None and changed.status.type != NOT_LOADED:
                    self._spawn(self._meet(changed.thread_id))
            case "thread/started":
                started = _read(params, ThreadStarted)
                if started is not None and not is_helper(started.thread):
                    self._spawn(self._meet(started.thread.id))
            case "thread/archived" | "thread/deleted":
                named = _read(params, ThreadNamed)
                if named is not None:
                    self.forget(named.thread_id)
            case "thread/closed":
                named = _read(params, ThreadNamed)
                if named is not None and named.thread_id not in self.wanted:
                    self.forget(named.thread_id)
            case _:
                pass

    async def _follow(self, tracked: TrackedThread) -> None:
        if self.connection is not None:
            await tracked.follow(self.connection)
            self._note_presence(tracked)

    async def _meet(self, thread_id: str) -> None:
        """Look at a thread that was heard of for the first time."""
        connection = self.connection
        any_of_all = (self.want_all or self.terminals) and thread_id not in self._left
        if connection is None or not (thread_id in self.wanted or any_of_all):
            return
        try:
            thread = await read_thread(connection, thread_id)
            if thread is not None and thread_id not in self.threads:
                await self._consider(connection, thread)
        except (AdapterError, WireError) as error:
            log.info("thread %s: %s", thread_id, error)
        self._tell_progress()

    # Inside --------------------------------------------------------------------------------------

    def _not_running(self) -> None:
        self.trouble = "Codex is not running"
        self._tell_progress()
        self._close_the_long_gone()

    def _trouble(self, error: RelayError) -> None:
        self.trouble = error.detail.removeprefix(f"{ADAPTER}: ")
        self.turned_away = isinstance(error, NotLetIn)
        self.fix = error.fix
        log.info("%s: %s", self.address.text, self.trouble)

    def _backoff_s(self, failures: int) -> float:
        longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures, 10))
        return FIRST_RETRY_S + longest * self._jitter() if failures else FIRST_RETRY_S

    def _tell_progress(self) -> None:
        self.progress.set()
        self.progress = asyncio.Event()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name=f"codex {self.address.text}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lock in self._locks.values():
            lock.release()


def _read(params: msgspec.Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(params, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        log.debug("a notification cannot be read: %s", error)
        return None
