"""All app-servers that are wanted: the one that is found by itself, and those attached by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from relay_core import (
    Activity,
    AdapterError,
    Clock,
    Environment,
    SessionEvent,
    SettingsError,
    Struct,
)
from relay_plugins.codex import sightings
from relay_plugins.codex.address import (
    ADAPTER,
    DEFAULT_SOCKET,
    Address,
    CodexProcess,
    check_thread_id,
    parse_address,
    read_token,
    socket_path,
)
from relay_plugins.codex.app_server import AppServer
from relay_plugins.codex.client import Connection, Unreachable
from relay_plugins.codex.embedded import EmbeddedSessions, embedded_address
from relay_plugins.codex.history import loaded_threads
from relay_plugins.codex.sightings import Sighting, Sightings
from relay_plugins.codex.terminals import Launched, LaunchRequest
from relay_plugins.codex.tracked import TrackedThread

SETTLE_S = 2.0
"""How long a daemon's socket must exist before we come, unless somebody else is connected to it
already: its terminal UI is to be its first client, because the first one's name is what Codex
reports as the originator."""

CONNECTED_WITHIN_S = 2.0
"""How long `want` waits for an app-server that does not answer, or for a lock that is not free."""

SEEN_WITHIN_S = 10.0
SEEN_POLL_S = 0.01

FOUND_WITHIN_S = 2.0
"""How long a session of an app-server may take to be found on its socket."""


class AttachRequest(Struct, forbid_unknown_fields=True):
    """The body of `codex.attach`. Without `thread` every thread that is loaded there is taken.

    `token_file` holds the bearer token of an app-server that runs with `--ws-auth`.
    """

    app_server: str
    thread: str | None = None
    token_file: str | None = None


class ThreadReport(Struct):
    """One thread as `codex.status` shows it; `trouble` says why it is away."""

    thread_id: str
    activity: Activity
    attended: bool
    turn_id: str | None = None
    trouble: str | None = None


class ServerReport(Struct):
    """One app-server as `codex.status` shows it.

    `wanted` are threads that were attached by name, `locked` those that another host serves.
    """

    app_server: str
    connected: bool
    version: str = ""
    discovered: bool = False
    trouble: str | None = None
    threads: tuple[ThreadReport, ...] = ()
    wanted: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()


class Servers:
    """Starts a watch on each app-server that is wanted and ends it when nothing there is."""

    def __init__(
        self,
        *,
        codex_home: Path,
        clock: Clock,
        jitter: Callable[[], float],
        report: Callable[[SessionEvent], None],
        environ: Environment,
        memory: Path | None,
    ) -> None:
        self._environ = environ
        self._memory = memory
        self._sightings = Sightings()
        self._codex_home = codex_home
        self._clock = clock
        self._jitter = jitter
        self._report = report
        self._servers: dict[str, AppServer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._discovered: set[str] = set()

    def __iter__(self) -> Iterator[AppServer]:
        return iter(tuple(self._servers.values()))

    def discover(self, codex_home: Path | None = None) -> None:
        """Watch the socket where plain `codex` puts its daemon, whether it is there yet or not."""
        home = codex_home or self._codex_home
        address = parse_address(f"unix://{home / DEFAULT_SOCKET}", home)
        if address.text not in self._discovered:
            server = self._server(address, None, settle_s=SETTLE_S)
            server.want_all = True
            self._discovered.add(server.address.text)

    def recall(self) -> None:
        """Take up again what hooks' calls have told an earlier host."""
        self._sightings = sightings.recall(self._memory)
        for home in self._sightings.homes:
            if Path(home).is_dir():
                self.discover(Path(home))
        for each in self._sightings.alive():
            self._embedded(Path(each.codex_home)).add(each.thread_id, each.owner)

    def meet(self, codex_home: Path) -> None:
        """Watch one more CODEX_HOME, from now on."""
        if codex_home != self._codex_home and str(codex_home) not in self._sightings.homes:
            self._remember(self._sightings.with_home(codex_home))
        self.discover(codex_home)

    async def embed(self, thread_id: str, codex_home: Path, owner: CodexProcess) -> None:
        """Take a session by its process, unless it is found on a socket."""
        if any(server.has_process(owner.process) for server in self):
            return
        if owner.serves_others:
            await self._clock.sleep(FOUND_WITHIN_S)
        server = self.server_of(thread_id)
        if server is not None and not server.by_queue:
            if server.threads[thread_id].activity is not Activity.AWAY:
                return
            server.leave(thread_id)
        sighting = Sighting(thread_id=thread_id, codex_home=str(codex_home), owner=owner)
        self._remember(self._sightings.with_sighting(sighting))
        self._embedded(codex_home).add(thread_id, owner)

    def _remember(self, known: Sightings) -> None:
        self._sightings = known
        sightings.remember(self._memory, known)

    def _embedded(self, codex_home: Path) -> EmbeddedSessions:
        text = embedded_address(codex_home).text
        known = self._servers.get(text)
        if isinstance(known, EmbeddedSessions):
            return known
        made = EmbeddedSessions(
            codex_home,
            environ=self._environ,
            clock=self._clock,
            jitter=self._jitter,
            report=self._report,
            owner=self.server_of,
        )
        self._watch(made)
        return made

    def come_now(self, thread_id: str) -> None:
        """Look for a thread on every app-server at once: its Codex says that it is there."""
        for server in self:
            if not server.has_seen(thread_id):
                server.come_now()

    async def seen(self, thread_id: str) -> TrackedThread:
        """Wait until a thread was reported."""
        while (tracked := self.thread(thread_id)) is None or not tracked.seen:
            await self._clock.sleep(SEEN_POLL_S)
        return tracked

    def server_of(self, thread_id: str) -> AppServer | None:
        """The app-server on which a thread is watched."""
        return next((each for each in self if thread_id in each.threads), None)

    def thread(self, thread_id: str) -> TrackedThread | None:
        """A thread that is watched."""
        server = self.server_of(thread_id)
        return None if server is None else server.threads[thread_id]

    async def want(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Take what an attach request names, and wait until it was seen; answer the thread ids.

        SettingsError when the request cannot be understood; AdapterError when the app-server
        cannot be reached or has no such thread: nothing more is wanted then than before.
        """
        wanted = _read_request(request)
        server, fresh = self._want(wanted)
        try:
            await self._until_seen(server, wanted.thread)
        except AdapterError:
            if fresh:
                await self._unwant(server, wanted.thread)
            raise
        if wanted.thread is not None:
            return (wanted.thread,)
        return tuple(each.id for each in server.threads.values() if each.seen)

    async def launch(self, request: LaunchRequest) -> Launched:
        """Take the threads of a terminal until `leave`, or until its own app-server is gone.

        AdapterError when the app-server cannot be reached: nothing more is wanted then than before.
        """
        address = parse_address(request.app_server, self._codex_home)
        server = self._server(address, None, settle_s=0.0)
        launch = request.launch
        if launch.alone:
            server.open_terminal(launch)
        server.look_now()
        try:
            await self._until_seen(server, None)
            if launch.known is None and not launch.alone:
                loaded = await loaded_threads(_connected(server))
                launch = msgspec.structs.replace(launch, known=tuple(loaded))
        except AdapterError:
            await self._forget_terminal(server, launch.id)
            raise
        if not launch.alone:
            server.open_terminal(launch)
        mine = tuple(
            each.id
            for each in server.threads.values()
            if each.seen and each.launch is not None and each.launch.id == launch.id
        )
        return Launched(threads=mine, known=launch.known or ())

    async def leave(self, launch_id: str) -> None:
        """Forget a terminal and its threads; one that is not known is gone already."""
        for server in self:
            if launch_id in server.terminals:
                await self._forget_terminal(server, launch_id)

    async def unwant(self, thread_id: str) -> None:
        """Forget a thread that was attached; one that is found by itself stays, unattended."""
        for server in self:
            if thread_id in server.threads or thread_id in server.wanted:
                await self._unwant(server, thread_id)

    def reports(self) -> tuple[ServerReport, ...]:
        """Show every app-server and thread."""
        return tuple(self._report_of(server) for server in self)

    async def close(self) -> None:
        """End all watches."""
        for server in self:
            await self._drop(server)

    def _want(self, request: AttachRequest) -> tuple[AppServer, bool]:
        """Note what is wanted; also tell whether it was not before."""
        address = parse_address(request.app_server, self._codex_home)
        token_file = Path(request.token_file) if request.token_file else None
        if token_file is not None:
            read_token(token_file)  # one that cannot be used is refused now, not at a reconnect
        server = self._server(address, token_file, settle_s=0.0)
        if request.thread is None:
            fresh = not (server.want_all and server.attended)
            server.want_everything()
            taken = list(server.threads.values())
        else:
            fresh = request.thread not in server.wanted
            server.want(request.thread)
            taken = [each for each in server.threads.values() if each.id == request.thread]
        for tracked in taken:
            tracked.attend(attended=True)
        server.look_now()
        return server, fresh

    def _server(self, address: Address, token_file: Path | None, *, settle_s: float) -> AppServer:
        for known in self:
            if _same(known.address, address):
                return known
        server = AppServer(
            address,
            token=lambda: None if token_file is None else read_token(token_file),
            settle_s=settle_s,
            clock=self._clock,
            jitter=self._jitter,
            report=self._report,
            owner=self.server_of,
        )
        self._watch(server)
        return server

    def _watch(self, server: AppServer) -> None:
        text = server.address.text
        self._servers[text] = server
        self._tasks[text] = asyncio.create_task(self._run(server), name=f"codex {text}")

    async def _run(self, server: AppServer) -> None:
        await server.run()
        del self._servers[server.address.text], self._tasks[server.address.text]
        for thread_id in list(server.threads):
            server.forget(thread_id)

    async def _forget_terminal(self, server: AppServer, launch_id: str) -> None:
        if launch_id in server.terminals:
            server.close_terminal(launch_id)
        await self._drop_if_idle(server)

    async def _unwant(self, server: AppServer, thread: str | None) -> None:
        discovered = server.address.text in self._discovered
        if thread is None:
            server.want_all, server.attended = discovered, False
        elif discovered and thread in server.threads:
            server.wanted.discard(thread)
            server.threads[thread].attend(attended=False)
        else:
            server.leave(thread)
        await self._drop_if_idle(server)

    async def _drop_if_idle(self, server: AppServer) -> None:
        discovered = server.address.text in self._discovered
        if not (server.wanted or server.threads or server.terminals or discovered):
            await self._drop(server)

    async def _drop(self, server: AppServer) -> None:
        address = server.address.text
        self._servers.pop(address, None)
        task = self._tasks.pop(address, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _until_seen(self, server: AppServer, thread: str | None) -> None:
        """Wait until a thread was reported; AdapterError as soon as it is clear that it is not."""
        began = self._clock.monotonic()
        while True:
            progress = server.progress
            if server.surveyed and (thread is None or server.has_seen(thread)):
                return
            left = _patience_s(server, thread) - (self._clock.monotonic() - began)
            if left <= 0:
                raise self._why_not_seen(server, thread)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await progress.wait()

    def _why_not_seen(self, server: AppServer, thread: str | None) -> AdapterError:
        text = server.address.text
        if server.connection is None:
            detail = server.trouble or f"no app-server answers at {text}"
            fix = server.fix or "start Codex, or check the address"
            return Unreachable(ADAPTER, detail, fix=fix)
        if thread is None:
            return AdapterError(ADAPTER, server.trouble or f"{text} does not list its threads")
        if thread in server.locked_elsewhere():
            detail = f"another host serves thread {thread}"
            return AdapterError(ADAPTER, detail, fix="stop it with: agent-relay down")
        other = self.server_of(thread)
        if other is not None and other is not server:
            detail = f"thread {thread} is served at {other.address.text} already"
            return AdapterError(ADAPTER, detail, fix="agent-relay-codex detach, then attach again")
        detail = server.trouble or f"{text} knows no thread {thread}"
        return AdapterError(ADAPTER, detail, fix="check the id, or leave --thread out")

    def _report_of(self, server: AppServer) -> ServerReport:
        return ServerReport(
            app_server=server.address.text,
            connected=server.connection is not None,
            version=server.codex_version,
            discovered=server.address.text in self._discovered,
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


def _connected(server: AppServer) -> Connection:
    if server.connection is None:
        raise Unreachable(ADAPTER, f"{server.address.text} has just gone")
    return server.connection


def _read_request(request: msgspec.Raw) -> AttachRequest:
    try:
        wanted = msgspec.json.decode(request, type=AttachRequest)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        detail = f"this cannot be attached: {error}"
        raise SettingsError(detail, fix="give appServer, and thread where you want one") from error
    if wanted.thread is not None:
        check_thread_id(wanted.thread)
    return wanted


def _same(one: Address, other: Address) -> bool:
    """Whether two addresses are one app-server; the daemon's socket is a link."""
    if one.path is not None and other.path is not None:
        return socket_path(one.path) == socket_path(other.path)
    return one.text == other.text


def _patience_s(server: AppServer, thread: str | None) -> float:
    """How long after its beginning a wait may still hope."""
    if server.connection is None and server.turned_away:
        return 0.0
    if server.connection is None or thread in server.locked_elsewhere():
        return CONNECTED_WITHIN_S
    # Surveyed since it was wanted, and neither there nor locked: it will not come by waiting.
    unknown = thread is not None and server.surveyed and thread not in server.threads
    return 0.0 if unknown else SEEN_WITHIN_S
