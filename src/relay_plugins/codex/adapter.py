"""The way to Codex sessions: found, watched and spoken to through their app-server."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated

import msgspec

from relay_core import (
    Abilities,
    Activity,
    AdapterError,
    Attempt,
    Clock,
    Environment,
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
    Steering,
    Struct,
    Unknown,
    WireError,
)
from relay_plugins.codex import looking
from relay_plugins.codex.address import ADAPTER, codex_above
from relay_plugins.codex.app_server import AppServer
from relay_plugins.codex.arguments import ends_with_its_turn
from relay_plugins.codex.client import CallRefused, Connection, Unanswered, Unreachable
from relay_plugins.codex.evidence import Handed
from relay_plugins.codex.injection import (
    MAX_CHARACTERS,
    hand_over,
    is_draining,
    is_unsteerable,
    meaning_of,
)
from relay_plugins.codex.servers import ServerReport, Servers
from relay_plugins.codex.terminals import Launched, LaunchRequest
from relay_plugins.codex.tracked import TrackedThread
from relay_plugins.codex.wire import Empty, TurnInterruptParams

log = logging.getLogger("relay.codex")

INTERRUPT_LIMIT_S = 15.0
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0
"""How long a refusal is kept back, at most, when one follows the other: whoever plans again at once
must not do so in a circle."""


class EndsWithItsTurn(AdapterError):
    """A Codex that takes no messages: `codex exec` ends with the turn that it was started for."""

    code = "codex_ends_with_its_turn"


class CodexSettings(Struct, forbid_unknown_fields=True):
    """The `[codex]` table of config.toml.

    With `discover` the sessions of plain `codex` are found by themselves. `bin` is the program,
    where AGENT_RELAY_CODEX_BIN names none.
    """

    discover: bool = True
    bin: Annotated[str, msgspec.Meta(pattern="^(/|~/)")] | None = None


DEFAULTS = CodexSettings()


class CodexAdapter:
    """Implements `relay_core.Adapter` for Codex 0.163 and later.

    Nothing is connected before `sessions` is iterated or `attach` is called. It never subscribes to
    a thread and never answers what Codex asks its user.
    """

    name = ADAPTER

    def __init__(
        self,
        *,
        codex_home: Path,
        clock: Clock,
        failpoint: Failpoints,
        settings: CodexSettings = DEFAULTS,
        jitter: Callable[[], float] | None = None,
        environ: Environment | None = None,
        memory: Path | None = None,
    ) -> None:
        self._clock = clock
        self._failpoint = failpoint
        self._settings = settings
        self._events: asyncio.Queue[SessionEvent | None] = asyncio.Queue()
        self._late: set[asyncio.Task[None]] = set()
        self._servers = Servers(
            codex_home=codex_home,
            clock=clock,
            jitter=jitter or secrets.SystemRandom().random,
            report=self._events.put_nowait,
            environ=environ or {},
            memory=memory,
        )

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        """Report sessions as they are seen, move and go, until the adapter is closed."""
        if self._settings.discover:
            self._servers.discover()
            self._servers.recall()
        while (event := await self._events.get()) is not None:
            yield event
            self._events.task_done()  # whoever iterates has taken it in

    def describe(self, key: str) -> Abilities:
        """Tell what can be done with this session now: some turns take no input."""
        tracked = self._servers.thread(key)
        turn = None if tracked is None else tracked.turn
        stubborn = tracked is not None and turn is not None and turn.id == tracked.unsteerable
        server = self._servers.server_of(key)
        by_queue = server is not None and server.by_queue
        return Abilities(
            wake=True,
            steer=Steering.NONE if stubborn or by_queue else Steering.LIVE,
            interrupt=not by_queue,
            prove=Proof.BY_ID,
            reply=Replying.LINKED,
            visible=True,
        )

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Take a thread of an app-server, or all that are loaded there, from now on.

        Answers within seconds, with the keys that were seen. SettingsError when the request (see
        `AttachRequest`) cannot be understood; AdapterError when the app-server cannot be reached,
        has no such thread, or another host serves it: nothing is remembered then, ask again.
        """
        return await self._servers.want(request)

    async def detach(self, key: str) -> None:
        """Forget a session that was attached; one that is found by itself stays, unattended."""
        await self._servers.unwant(key)

    async def launch(self, request: LaunchRequest) -> Launched:
        """Take the threads of a terminal that `start` opens; see `Servers.launch`.

        The host does not remember it: whoever opened the terminal asks again when the host is a new
        one, and says when it is gone.
        """
        return await self._servers.launch(request)

    async def leave(self, launch_id: str) -> None:
        """Forget a terminal and its threads."""
        await self._servers.leave(launch_id)

    async def started(
        self, thread_id: str, *, codex_home: Path | None, rollout: Path | None, parent: int
    ) -> None:
        """Take in that Codex starts a session, and return when all of it was reported.

        For a call of its SessionStart hook, which comes when the first turn has begun: its
        terminal is there, and `rollout` tells what the session may do. `parent` is the process that
        started the hook. Does not return while the session is not found; nothing is lost when it is
        cancelled. EndsWithItsTurn for a Codex that nobody types into.
        """
        owner = await asyncio.to_thread(codex_above, parent)
        if owner is not None and ends_with_its_turn(owner.arguments):
            raise EndsWithItsTurn(ADAPTER, "this Codex ends with its turn")
        if self._settings.discover and codex_home is not None:
            self._servers.meet(codex_home)
            if owner is not None:
                self._do_beside(self._servers.embed(thread_id, codex_home, owner))
        self._servers.come_now(thread_id)
        tracked = await self._servers.seen(thread_id)
        await tracked.show_approval(rollout)
        await self._events.join()

    def why_not_seen(self, thread_id: str) -> str:
        """Say why a session is not served, in a few words."""
        tracked = self._servers.thread(thread_id)
        if tracked is not None:
            return tracked.trouble or "it is not registered at the hub"
        for server in self._servers:
            if thread_id in server.locked_elsewhere():
                return "another host serves it"
        return "Codex does not show it on its control socket"

    def report(self) -> tuple[ServerReport, ...]:
        """Show every app-server and thread, for `codex.status`."""
        return self._servers.reports()

    async def close(self) -> None:
        """Stop watching; sessions themselves are left alone."""
        await self._servers.close()
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        self._events.put_nowait(None)

    async def inject(self, injection: Injection) -> HandedOver:
        """Hand the input to Codex.

        Raises SessionMoved, SessionGone or InjectionRefused where nothing was taken; any other
        AdapterError means that nobody knows, and that only `find` can tell.
        """
        tracked, server, connection = self._ready(injection.key)
        known = tracked.turn.id if tracked.turn else None
        expected = injection.turn_id or known
        await self._check(tracked, injection, expected)
        if await self._failpoint(Failpoint.INJECT_DROPPED):
            return HandedOver()
        handed = Handed(at=self._clock.monotonic(), at_ms=self._clock.now_ms())
        tracked.hand_overs.began(injection.id, handed, server.serial, connection.process)
        steer = injection.mode is Mode.STEER
        try:
            turn_id = await hand_over(
                connection,
                injection,
                expected,
                still_wanted=lambda: steer or tracked.at_rest,
            )
        except (CallRefused, Unreachable, UnicodeError) as refused:
            tracked.hand_overs.forget(injection.id)
            raise await self._refusal(server, tracked, refused, expected) from refused
        except Unanswered as error:
            tracked.hand_overs.timed_out(injection.id, error.call)
            raise
        except WireError as error:
            tracked.hand_overs.answered(injection.id, None)
            raise Unanswered(error.detail) from error
        tracked.refusals = 0
        tracked.hand_overs.answered(injection.id, turn_id)
        steered = steer or turn_id == known
        if not steered:
            tracked.began(turn_id)
        await self._failpoint(Failpoint.AGENT_REPLIED)
        return HandedOver(turn_id=turn_id, steered=steered)

    async def interrupt(self, key: str, turn_id: str) -> None:
        """Cancel the running turn and wait until it has ended."""
        tracked, _, connection = self._ready(key)
        if not turn_id:  # Codex would stop whatever is running
            raise SessionMoved(ADAPTER, "no turn is running")
        # Until the answer is there nobody can tell whose interrupt it was.
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

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        """Look into the thread's history until there is an answer; see `evidence` for the rules.

        `marker` is a text that the prompt held: it shows what a killed Codex left of it.
        """
        tracked, server = self._servers.thread(key), self._servers.server_of(key)
        if tracked is None or server is None:
            return Unknown(why="this session is not watched")
        evidence = await looking.find(server, tracked, attempt, marker or attempt.id, self._clock)
        if isinstance(evidence, Found):
            tracked.hand_overs.answered(attempt.id, evidence.turn_id)
            self._report_late(server, tracked, evidence.turn_id)
        elif not isinstance(evidence, Unknown):
            tracked.hand_overs.forget(attempt.id)
        return evidence

    def _ready(self, key: str) -> tuple[TrackedThread, AppServer, Connection]:
        tracked, server = self._servers.thread(key), self._servers.server_of(key)
        if tracked is None or server is None:
            raise SessionGone(ADAPTER, f"thread {key} is not watched any more")
        if server.connection is None or tracked.activity is Activity.AWAY:
            raise SessionMoved(ADAPTER, tracked.trouble or "Codex is not reachable")
        return tracked, server, server.connection

    async def _check(
        self, tracked: TrackedThread, injection: Injection, expected: str | None
    ) -> None:
        """Refuse what would be refused anyway, or would end the connection."""
        length = len(injection.text)
        if length > MAX_CHARACTERS:
            detail = f"the prompt has {length} characters, Codex takes {MAX_CHARACTERS}"
            raise InjectionRefused(ADAPTER, detail, permanent=True)
        if injection.mode is Mode.STEER:
            moved = None if expected else "no turn is running"
        else:
            moved = None if tracked.at_rest else "a turn is running"
        if moved is not None:
            await self._pause(tracked)
            raise SessionMoved(ADAPTER, moved)

    async def _refusal(
        self,
        server: AppServer,
        tracked: TrackedThread,
        refused: CallRefused | Unreachable | UnicodeError,
        expected: str | None,
    ) -> AdapterError:
        if isinstance(refused, UnicodeError):
            detail = f"the prompt is no Unicode text: {refused}"
            return InjectionRefused(ADAPTER, detail, permanent=True)
        if isinstance(refused, Unreachable):
            return SessionMoved(ADAPTER, "Codex is not reachable")
        meaning = meaning_of(refused)
        if is_draining(refused.error):
            server.shut_down("Codex is shutting down")
        elif is_unsteerable(refused.error):
            tracked.unsteerable = expected
        elif isinstance(meaning, SessionGone):
            tracked.go_away("Codex has not loaded this thread")
        server.look_now()
        await self._pause(tracked)
        return meaning

    async def _pause(self, tracked: TrackedThread) -> None:
        """Keep a refusal back for a little, longer each time; let the newest state be read."""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tracked.refusals, 10))
        tracked.refusals += 1
        await self._clock.sleep(pause)

    def _report_late(self, server: AppServer, tracked: TrackedThread, turn_id: str | None) -> None:
        """See to it that the end of a turn is reported that ended before we came."""
        running = tracked.turn.id if tracked.turn else None
        if turn_id is None or turn_id == running or server.connection is None:
            return

        async def report(connection: Connection) -> None:
            try:
                await tracked.report_late(connection, turn_id)
            except (AdapterError, WireError) as error:
                log.info("thread %s: %s", tracked.id, error)

        self._do_beside(report(server.connection))

    def _do_beside(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name="codex errand")
        self._late.add(task)
        task.add_done_callback(self._late.discard)
