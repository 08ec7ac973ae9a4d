"""The way to Codex sessions: found, watched and spoken to through their app-server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from relay_core import (
    Abilities,
    Activity,
    AdapterError,
    Attempt,
    Clock,
    Evidence,
    Failpoint,
    Failpoints,
    Found,
    HandedOver,
    Injection,
    InjectionRefused,
    Mode,
    Proof,
    Replying,
    SessionEvent,
    SessionGone,
    SessionMoved,
    SettingsError,
    Steering,
    Struct,
    Unknown,
    WireError,
)
from relay_plugins.codex.address import (
    ADAPTER,
    DEFAULT_SOCKET,
    Process,
    check_thread_id,
    is_alive,
    parse_address,
    read_token,
    started_ms,
)
from relay_plugins.codex.app_server import AppServer
from relay_plugins.codex.client import CallRefused, Connection, Unanswered, Unreachable
from relay_plugins.codex.evidence import Handed, Look, Rest, judge, next_wait_s
from relay_plugins.codex.history import NoHistoryYet, look, search
from relay_plugins.codex.injection import (
    MAX_CHARACTERS,
    OVERLOAD_WAITS_S,
    is_draining,
    is_overloaded,
    is_unsteerable,
    meaning_of,
)
from relay_plugins.codex.tracked import TrackedThread
from relay_plugins.codex.wire import (
    CLIENT_ID_PREFIX,
    Empty,
    TextInput,
    TurnInterruptParams,
    TurnStartParams,
    TurnStartResult,
    TurnSteerParams,
    TurnSteerResult,
)

log = logging.getLogger("relay.codex")

SETTLE_S = 2.0
"""How long a daemon's socket must exist before we come: its TUI is to be its first client, because the
first one's name is what Codex reports as the originator."""

FIND_LIMIT_S = 60.0
SEEN_WITHIN_S = 10.0
CONNECTED_WITHIN_S = 2.0
"""How long `attach` waits for an app-server that does not answer, or a lock that is not free."""

INTERRUPT_LIMIT_S = 15.0
QUICK_LOOKS_S = 0.5
PROCESS_START_SLACK_MS = 1_500


class CodexSettings(Struct):
    """The `[codex]` table of config.toml, as far as the adapter reads it."""

    discover: bool = True


class AttachRequest(Struct, forbid_unknown_fields=True):
    """The body of `codex.attach`. Without `thread` every thread that is loaded there is taken.

    `token_file` holds the bearer token of an app-server that runs with `--ws-auth`.
    """

    app_server: str
    thread: str | None = None
    token_file: str | None = None


class ThreadReport(Struct):
    """One thread as `codex.status` shows it."""

    thread_id: str
    activity: Activity
    attended: bool
    turn_id: str | None = None
    trouble: str | None = None


class ServerReport(Struct):
    """One app-server as `codex.status` shows it; `locked` are threads that another host serves."""

    app_server: str
    connected: bool
    version: str = ""
    discovered: bool = False
    trouble: str | None = None
    threads: tuple[ThreadReport, ...] = ()
    wanted: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()


class CodexAdapter:
    """Implements `relay_core.Adapter` for Codex 0.163 and later.

    Nothing is connected before `sessions` is iterated or `attach` is called. It never subscribes to a
    thread and never answers what Codex asks its user.
    """

    name = ADAPTER

    def __init__(
        self,
        *,
        codex_home: Path,
        clock: Clock,
        failpoint: Failpoints,
        settings: CodexSettings = CodexSettings(),
        jitter: Callable[[], float] = secrets.SystemRandom().random,
    ) -> None:
        self._codex_home = codex_home
        self._clock = clock
        self._failpoint = failpoint
        self._settings = settings
        self._jitter = jitter
        self._events: asyncio.Queue[SessionEvent | None] = asyncio.Queue()
        self._servers: dict[str, AppServer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._processes: dict[str, Process] = {}
        self._handed_to: dict[str, Process | None] = {}
        self._discovered: str | None = None

    # Sessions ------------------------------------------------------------------------------------

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        """Report sessions as they are seen, move and go, until the adapter is closed."""
        if self._settings.discover and self._discovered is None:
            self._discover()
        while (event := await self._events.get()) is not None:
            yield event

    def describe(self, key: str) -> Abilities:
        """Tell what can be done with this session; a turn that takes no input cannot be steered."""
        tracked = self._tracked(key)
        unsteerable = (
            tracked is not None
            and tracked.turn is not None
            and tracked.turn.id == tracked.unsteerable
        )
        return Abilities(
            wake=True,
            steer=Steering.NONE if unsteerable else Steering.LIVE,
            interrupt=True,
            prove=Proof.BY_ID,
            reply=Replying.LINKED,
            visible=True,
        )

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Want a thread (or all that are loaded) of an app-server from now on; answer their keys.

        SettingsError when the request cannot be understood; any other AdapterError when the
        app-server cannot be reached or has no such thread: nothing is wanted then, ask again.
        """
        wanted = _read_request(request)
        server = self._want(wanted)
        try:
            await self._until_seen(server, wanted.thread)
        except AdapterError:
            await self._unwant(server, wanted.thread)
            raise
        if wanted.thread is not None:
            return (wanted.thread,)
        return tuple(each.id for each in server.threads.values() if each.seen)

    async def detach(self, key: str) -> None:
        """Forget a session that was attached by hand; one that is found by itself is found again."""
        for server in list(self._servers.values()):
            if key in server.threads or key in server.wanted:
                await self._unwant(server, key)

    def report(self) -> tuple[ServerReport, ...]:
        """Show every app-server and thread, for `codex.status`."""
        return tuple(self._report_of(server) for server in self._servers.values())

    async def close(self) -> None:
        """Stop watching; sessions themselves are left alone."""
        for server in list(self._servers.values()):
            await self._drop(server)
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        self._events.put_nowait(None)

    # Injecting -----------------------------------------------------------------------------------

    async def inject(self, injection: Injection) -> HandedOver:
        """Hand the input to Codex.

        Raises SessionMoved, SessionGone or InjectionRefused where nothing was taken; any other
        AdapterError means that nobody knows, and that only `find` can tell.
        """
        tracked, server, connection = self._ready(injection.key)
        if len(injection.text) > MAX_CHARACTERS:
            detail = (
                f"the prompt has {len(injection.text)} characters, Codex takes {MAX_CHARACTERS}"
            )
            raise InjectionRefused(ADAPTER, detail, permanent=True)
        steer = injection.mode is Mode.STEER
        if not steer and not tracked.at_rest:
            raise SessionMoved(ADAPTER, "a turn is running")
        expected = injection.turn_id or (tracked.turn.id if tracked.turn else None)
        if steer and not expected:
            raise SessionMoved(ADAPTER, "no turn is running")
        if await self._failpoint(Failpoint.INJECT_DROPPED):
            return HandedOver()
        known = tracked.turn.id if tracked.turn else None
        tracked.hand_over(injection.id, self._clock.monotonic(), server.serial)
        self._handed_to[injection.id] = connection.process
        try:
            if steer:
                turn_id = await self._steer(connection, injection, expected or "")
            else:
                turn_id = await self._start(connection, tracked, injection)
        except CallRefused as refused:
            tracked.carried.pop(injection.id, None)
            raise self._refusal(server, tracked, refused, expected) from refused
        except Unreachable as error:
            tracked.carried.pop(injection.id, None)
            raise SessionMoved(ADAPTER, "Codex is not reachable") from error
        except Unanswered as error:
            tracked.unanswered(injection.id, error.call)
            raise
        except WireError as error:
            tracked.answered(injection.id, None)
            raise Unanswered(error.detail) from error
        except UnicodeError as error:
            tracked.carried.pop(injection.id, None)
            detail = f"the prompt is no Unicode text: {error}"
            raise InjectionRefused(ADAPTER, detail, permanent=True) from error
        tracked.answered(injection.id, turn_id)
        await self._failpoint(Failpoint.AGENT_REPLIED)
        return HandedOver(turn_id=turn_id, steered=steer or turn_id == known)

    async def interrupt(self, key: str, turn_id: str) -> None:
        """Cancel the running turn and wait until it has ended."""
        if not turn_id:
            raise SessionMoved(ADAPTER, "no turn is running")
        tracked, _, connection = self._ready(key)
        tracked.interrupting[turn_id] = False
        params = TurnInterruptParams(thread_id=key, turn_id=turn_id)
        try:
            await connection.call("turn/interrupt", params, Empty)
        except CallRefused as refused:
            del tracked.interrupting[turn_id]
            if "no active turn" not in refused.error.message:
                raise meaning_of(refused) from refused
        else:
            tracked.interrupting[turn_id] = True
        try:
            async with asyncio.timeout(INTERRUPT_LIMIT_S):
                while not tracked.at_rest:
                    await tracked.moved.wait()
        except TimeoutError as error:
            detail = f"the turn has not ended within {INTERRUPT_LIMIT_S:g} s of its interrupt"
            raise SessionMoved(ADAPTER, detail) from error

    async def _start(
        self, connection: Connection, tracked: TrackedThread, injection: Injection
    ) -> str:
        params = TurnStartParams(
            thread_id=injection.key,
            input=(TextInput(text=injection.text),),
            client_user_message_id=CLIENT_ID_PREFIX + injection.id,
        )
        for wait in OVERLOAD_WAITS_S:
            try:
                answer = await connection.call("turn/start", params, TurnStartResult)
            except CallRefused as refused:
                if not is_overloaded(refused.error):
                    raise
                await self._clock.sleep(wait)
                if not tracked.at_rest:
                    raise
            else:
                return answer.turn.id
        answer = await connection.call("turn/start", params, TurnStartResult)
        return answer.turn.id

    async def _steer(self, connection: Connection, injection: Injection, expected: str) -> str:
        params = TurnSteerParams(
            thread_id=injection.key,
            input=(TextInput(text=injection.text),),
            client_user_message_id=CLIENT_ID_PREFIX + injection.id,
            expected_turn_id=expected,
        )
        for wait in OVERLOAD_WAITS_S:
            try:
                answer = await connection.call("turn/steer", params, TurnSteerResult)
            except CallRefused as refused:
                if not is_overloaded(refused.error):
                    raise
                await self._clock.sleep(wait)
            else:
                return answer.turn_id
        answer = await connection.call("turn/steer", params, TurnSteerResult)
        return answer.turn_id

    def _refusal(
        self,
        server: AppServer,
        tracked: TrackedThread,
        refused: CallRefused,
        expected: str | None,
    ) -> AdapterError:
        meaning = meaning_of(refused)
        if is_draining(refused.error):
            tracked.go_away("Codex is shutting down")
        elif is_unsteerable(refused.error):
            tracked.unsteerable = expected
        elif isinstance(meaning, SessionGone):
            tracked.go_away("Codex has not loaded this thread")
        server.look_now()
        return meaning

    # Evidence ------------------------------------------------------------------------------------

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        """Look into the thread's history until there is an answer; see `evidence` for the rules."""
        del marker  # Codex keeps ids
        tracked, server = self._tracked(key), self._server_of(key)
        if tracked is None or server is None:
            return Unknown(why="this session is not watched")
        began = self._clock.monotonic()
        looks: list[Look] = []
        evidence: Evidence = Unknown(why="nothing could be read")
        while (elapsed := self._clock.monotonic() - began) < FIND_LIMIT_S:
            connection = server.connection
            if connection is None:
                return Unknown(why="Codex is not reachable")
            moved = tracked.moved
            handed = self._handed(tracked, connection, attempt)
            since = elapsed if handed is None else self._clock.monotonic() - handed.at
            try:
                observed = await self._look(tracked, connection, attempt, handed, since)
            except (AdapterError, WireError) as error:
                log.info("thread %s: %s", key, error)
                observed = Look(at=self._clock.monotonic(), rest=Rest.UNREADABLE)
            looks.append(observed)
            evidence = judge(looks, self._handed(tracked, connection, attempt))
            if not isinstance(evidence, Unknown):
                self._settle(server, tracked, attempt, evidence)
                return evidence
            if observed.rest is Rest.NOT_LOADED:
                return evidence
            await self._until_next_look(moved, since)
        return evidence

    async def _look(
        self,
        tracked: TrackedThread,
        connection: Connection,
        attempt: Attempt,
        handed: Handed | None,
        since: float,
    ) -> Look:
        at = self._clock.monotonic()
        if handed is not None and since < QUICK_LOOKS_S:
            # Too early for absence to mean anything: read nothing but the newest items.
            try:
                result = await search(connection, tracked.thread, attempt)
            except NoHistoryYet:
                return Look(at=at, rest=Rest.IN_TURN)
            return Look(at=at, rest=Rest.IN_TURN, found=result.found, found_in=result.turn_id)
        return await look(
            connection,
            tracked.id,
            attempt,
            at=at,
            taken_by=handed.turn_id if handed else None,
            process_gone=self._process_gone(attempt, connection, handed),
        )

    def _handed(
        self, tracked: TrackedThread, connection: Connection, attempt: Attempt
    ) -> Handed | None:
        carried = tracked.carried.get(attempt.id)
        if carried is None:
            return None
        if carried.call is not None and carried.call in connection.answered_late:
            tracked.answered(attempt.id, carried.handed.turn_id)
            return tracked.carried[attempt.id].handed
        return carried.handed

    def _process_gone(
        self, attempt: Attempt, connection: Connection, handed: Handed | None
    ) -> bool:
        """Whether the Codex process that was handed an attempt is surely dead."""
        if handed is not None:
            process = self._handed_to.get(attempt.id)
            return process is not None and not is_alive(process)
        if connection.process is None:
            return False
        started = started_ms(connection.process)
        return started is not None and started > attempt.started_ms + PROCESS_START_SLACK_MS

    async def _until_next_look(self, moved: asyncio.Event, since: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(next_wait_s(since)):
                await moved.wait()

    def _settle(
        self, server: AppServer, tracked: TrackedThread, attempt: Attempt, evidence: Evidence
    ) -> None:
        self._handed_to.pop(attempt.id, None)
        if not isinstance(evidence, Found):
            tracked.carried.pop(attempt.id, None)
            return
        if evidence.turn_id is None:
            return
        tracked.answered(attempt.id, evidence.turn_id)
        running = tracked.turn.id if tracked.turn else None
        if evidence.turn_id != running and server.connection is not None:
            task = asyncio.create_task(
                self._report_late(tracked, server.connection, evidence.turn_id),
                name=f"codex turn {evidence.turn_id}",
            )
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _report_late(
        self, tracked: TrackedThread, connection: Connection, turn_id: str
    ) -> None:
        try:
            await tracked.report_late(connection, turn_id)
        except (AdapterError, WireError) as error:
            log.info("thread %s: %s", tracked.id, error)

    # App-servers ---------------------------------------------------------------------------------

    def _discover(self) -> None:
        address = parse_address(f"unix://{self._codex_home / DEFAULT_SOCKET}", self._codex_home)
        self._discovered = address.text
        self._server(address.text, None, settle_s=SETTLE_S).want_all = True

    def _want(self, request: AttachRequest) -> AppServer:
        address = parse_address(request.app_server, self._codex_home)
        token_file = Path(request.token_file) if request.token_file else None
        if token_file is not None:
            read_token(token_file)  # a file that cannot be used is refused now, not at a reconnect
        server = self._server(address.text, token_file, settle_s=0.0)
        if request.thread is None:
            server.want_everything()
            for tracked in server.threads.values():
                self._attend(tracked)
        else:
            server.want(request.thread)
            if (tracked := server.threads.get(request.thread)) is not None:
                self._attend(tracked)
        server.surveyed.clear()
        server.look_now()
        return server

    def _attend(self, tracked: TrackedThread) -> None:
        if not tracked.attended:
            tracked.attended = True
            tracked.report_seen()

    def _server(self, address: str, token_file: Path | None, *, settle_s: float) -> AppServer:
        if (known := self._servers.get(address)) is not None:
            return known
        server = AppServer(
            parse_address(address, self._codex_home),
            token=lambda: read_token(token_file) if token_file else None,
            settle_s=settle_s,
            clock=self._clock,
            jitter=self._jitter,
            report=self._events.put_nowait,
            owner=self._server_of,
        )
        self._servers[address] = server
        self._tasks[address] = asyncio.create_task(server.run(), name=f"codex {address}")
        return server

    async def _drop(self, server: AppServer) -> None:
        address = server.address.text
        self._servers.pop(address, None)
        task = self._tasks.pop(address, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _unwant(self, server: AppServer, thread: str | None) -> None:
        discovered = server.address.text == self._discovered
        if thread is None:
            server.want_all = discovered
            server.attended = False
        elif discovered and (tracked := server.threads.get(thread)) is not None:
            server.wanted.discard(thread)
            tracked.attended = False
            tracked.report_seen()
        else:
            server.leave(thread)
        if not (server.wanted or server.threads or discovered):
            await self._drop(server)

    async def _until_seen(self, server: AppServer, thread: str | None) -> None:
        """Wait until a wanted thread was reported; AdapterError as soon as it is clear that it is not."""
        began = self._clock.monotonic()
        while True:
            progress = server.progress
            if server.surveyed.is_set() and (thread is None or server.has_seen(thread)):
                return
            elapsed = self._clock.monotonic() - began
            patience = _patience_s(server, thread)
            if elapsed >= patience:
                raise self._why_not_seen(server, thread)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience - elapsed):
                    await progress.wait()

    def _why_not_seen(self, server: AppServer, thread: str | None) -> AdapterError:
        text = server.address.text
        if server.connection is None:
            detail = (server.trouble or f"no app-server answers at {text}").removeprefix("codex: ")
            return Unreachable(
                ADAPTER, detail, fix=server.fix or "start Codex, or check the address"
            )
        if thread is None:
            return AdapterError(ADAPTER, server.trouble or f"{text} does not list its threads")
        if thread in server.locked_elsewhere():
            detail = f"another host serves thread {thread}"
            return AdapterError(ADAPTER, detail, fix="stop it with: agent-relay down")
        if (other := self._server_of(thread)) is not None and other is not server:
            detail = f"thread {thread} is attached at {other.address.text} already"
            return AdapterError(ADAPTER, detail, fix="agent-relay-codex detach, then attach again")
        detail = server.trouble or f"{text} knows no thread {thread}"
        return AdapterError(ADAPTER, detail, fix="check the id, or leave --thread out")

    def _ready(self, key: str) -> tuple[TrackedThread, AppServer, Connection]:
        tracked, server = self._tracked(key), self._server_of(key)
        if tracked is None or server is None:
            raise SessionGone(ADAPTER, f"thread {key} is not watched any more")
        if server.connection is None or tracked.activity is Activity.AWAY:
            raise SessionMoved(ADAPTER, tracked.trouble or "Codex is not reachable")
        return tracked, server, server.connection

    def _tracked(self, key: str) -> TrackedThread | None:
        server = self._server_of(key)
        return None if server is None else server.threads.get(key)

    def _server_of(self, key: str) -> AppServer | None:
        return next((each for each in self._servers.values() if key in each.threads), None)

    def _report_of(self, server: AppServer) -> ServerReport:
        return ServerReport(
            app_server=server.address.text,
            connected=server.connection is not None,
            version=server.codex_version,
            discovered=server.address.text == self._discovered,
            trouble=server.trouble,
            threads=tuple(
                ThreadReport(
                    thread_id=each.id,
                    activity=each.activity,
                    attended=each.attended,
                    turn_id=each.turn.id if each.turn else None,
                    trouble=each.trouble,
                )
                for each in server.threads.values()
                if each.seen
            ),
            wanted=tuple(sorted(server.wanted)),
            locked=server.locked_elsewhere(),
        )


def _patience_s(server: AppServer, thread: str | None) -> float:
    """How long after its beginning `attach` may still hope."""
    if server.connection is None or thread in server.locked_elsewhere():
        return CONNECTED_WITHIN_S
    # Surveyed since it was wanted, and neither there nor locked: it will not come by waiting.
    unknown = thread is not None and server.surveyed.is_set() and thread not in server.threads
    return 0.0 if unknown else SEEN_WITHIN_S


def _read_request(request: msgspec.Raw) -> AttachRequest:
    try:
        wanted = msgspec.json.decode(request, type=AttachRequest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SettingsError(
            f"this cannot be attached: {error}", fix="give appServer, and thread where you want one"
        ) from error
    if wanted.thread is not None:
        check_thread_id(wanted.thread)
    return wanted
