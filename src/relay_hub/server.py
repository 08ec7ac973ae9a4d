"""The hub as a server: store, service, socket and application, started and stopped as one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from relay_core.errors import RelayError, SettingsError
from relay_core.ports import Clock, Failpoint, Random
from relay_hub.app import make_app
from relay_hub.guard import Guard
from relay_hub.limits import Limits
from relay_hub.service import HubService
from relay_hub.store.sqlite import SqliteStore
from relay_hub.tokens import read_or_make_token, token_hash
from relay_hub.wire import AbortableWebSocket, bounded_http

DEFAULT_PORT = 4850
LOOPBACK = ("127.0.0.1", "::1")
GRACE_S = 5
_PING_S = 20.0
_BACKLOG = 1_024
_STORE_ID_BYTES = 16

log = logging.getLogger(__name__)


class PortTaken(RelayError):
    """Another program listens where the hub should."""

    code = "port_taken"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is taken by another program, perhaps by another hub",
            fix="see whether it is a hub with: agent-relay status; else take a free port: --port 0",
        )
        self.port = port


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening socket; port 0 takes a free one.

    PortTaken, or SettingsError for an address that is not loopback.
    """
    if host not in LOOPBACK:
        raise SettingsError(f"{host} is not loopback", fix=f"use one of {', '.join(LOOPBACK)}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)  # noqa: FBT003 - the standard library's shape
    except OSError as error:
        bound.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortTaken(host, port) from error
        raise SettingsError(f"{host}:{port} cannot be used: {error.strerror}") from error
    except OverflowError as error:
        bound.close()
        raise SettingsError(f"{port} is no port", fix="use 0 to 65535") from error
    return bound


class HubServer:
    """A service that listens; used from one event loop.

    `await start()` answers once requests are served, `await stop()` once those in flight are
    answered. The service and its store are the caller's to close; the sweep runs in between.
    """

    def __init__(
        self,
        service: HubService,
        *,
        token: str,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        token_file: Path | None = None,
    ) -> None:
        self.service = service
        self.token = token
        self._token_hash = token_hash(token)
        self._token_file = token_file
        self._host = host
        self._wanted_port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._guard: Guard | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Bind and serve; PortTaken or SettingsError."""
        self._socket = bind(self._host, self._wanted_port)
        self.port = self._socket.getsockname()[1]
        self._guard = make_app(
            self.service,
            user_hash=self._token_hash,
            port=self.port,
            numbers=self._numbers,
            token_file=self._token_file,
        )
        self._server = _Server(_config(self._guard, self.service.limits))
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="hub-http")
        sweeping = asyncio.create_task(self.service.run(), name="hub-sweep")
        self._tasks = [serving, sweeping]
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            serving.result()

    async def stop(self) -> None:
        """Answer what is in flight, tell the streams, and stop; doing it twice is harmless."""
        if self._server is None or not self._tasks:
            return
        serving, sweeping = self._tasks
        self._tasks = []
        self._server.should_exit = True
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        await serving
        if self._socket is not None:
            self._socket.close()

    async def failed(self) -> None:
        """Return when the hub has stopped by itself; raises what stopped it."""
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def _numbers(self) -> dict[str, float]:
        store = self.service.store
        numbers: dict[str, float] = {
            "agent_relay_streams": len(self.service.streams),
            "agent_relay_frames_pushed_total": self.service.streams.frames,
            "agent_relay_store_bytes": store.size_bytes(),
            "agent_relay_store_free_bytes": store.free_bytes(),
        }
        if isinstance(store, SqliteStore):
            numbers["agent_relay_commits_total"] = store.commits
        if self._server is not None:
            numbers["agent_relay_requests_total"] = self._server.server_state.total_requests
        for status, count in sorted((self._guard.refused if self._guard else {}).items()):
            numbers[f'agent_relay_refused_total{{status="{status}"}}'] = count
        return numbers


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process belongs to the caller."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(app: Guard, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded_http(limits),
        ws=AbortableWebSocket,
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        ws_max_size=limits.frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _no_failpoint(name: Failpoint) -> bool:  # noqa: ARG001 - the shape of a failpoint
    return False


@asynccontextmanager
async def open_hub(
    *,
    store_file: Path,
    token_file: Path,
    clock: Clock,
    random: Random,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    limits: Limits | None = None,
    failpoint: Callable[[Failpoint], object] = _no_failpoint,
    token: str | None = None,
) -> AsyncGenerator[HubServer]:
    """Run a whole hub: token, store, service, server; closed in the opposite order.

    `token` is the user token where the caller knows it; else it is in the file, or made there.
    `failpoint` is called in the writer's thread. Raises what a start makes impossible: PortTaken,
    SettingsError (token, address), or a StoreError.
    """
    token = token or read_or_make_token(token_file, random)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub-writer") as writer:
        store = SqliteStore.open(
            store_file,
            executor=writer,
            store_id=random.token_hex(_STORE_ID_BYTES),
            failpoint=failpoint,
        )
        try:
            service = await HubService.open(store, clock=clock, random=random, limits=limits)
            server = HubServer(service, token=token, host=host, port=port, token_file=token_file)
            await server.start()
            try:
                yield server
            finally:
                await server.stop()
        finally:
            await store.close()
