"""One connection to a Codex app-server: websocket frames over a unix socket or TCP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import typing
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from relay_core import AdapterError, Struct, WireError
from relay_plugins.codex.address import (
    ADAPTER,
    Address,
    Process,
    listening_process,
    peer_process,
    socket_path,
)
from relay_plugins.codex.protocol import (
    Abandoned,
    Answered,
    AnsweredLate,
    Event,
    Greeted,
    Notified,
    Protocol,
    Refused,
    Rejected,
    State,
)
from relay_plugins.codex.wire import ClientInfo, InitializeResult, RpcError

log = logging.getLogger("relay.codex")
_handshakes = logging.getLogger("relay.codex.websocket")
_handshakes.setLevel(logging.WARNING)  # websockets tells the log its headers, at DEBUG: the token

CLIENT = ClientInfo(name="agent-relay", title="Agent Relay", version="0.1")
OPEN_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
KEEPALIVE_S = 20.0
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""The largest frame that is read: a page of history with large tool outputs."""

T = TypeVar("T")


class CallRefused(AdapterError):
    """Codex answered a call with an error: it was not done."""

    code = "codex_refused"

    def __init__(self, method: str, error: RpcError) -> None:
        super().__init__(ADAPTER, f"{method}: {error.message or 'refused without a reason'}")
        self.method = method
        self.error = error


class Unanswered(AdapterError):
    """A call was sent and no answer came: it may have been done, or not.

    `call` is its id while an answer may still come, None when the connection is lost.
    """

    code = "codex_unanswered"

    def __init__(self, detail: str, *, call: int | None = None) -> None:
        super().__init__(ADAPTER, detail)
        self.call = call


class Unreachable(AdapterError):
    """Nobody answers at an address, or not as an app-server that lets us in."""

    code = "codex_unreachable"


class NotLetIn(Unreachable):
    """Whoever listens at an address turns us away; trying again will not help."""

    code = "codex_not_let_in"


class Frames(typing.Protocol):
    """What carries the lines: a websocket, or the stdin and stdout of an app-server."""

    async def send(self, frame: str, /) -> None:
        """Send one line."""
        ...

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield what comes, until the other side is gone."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class Connection:
    """An initialized connection. `notified` is called for each notification and must not block.

    Every call has a time limit; when the connection is lost all waiting calls fail at once.
    """

    def __init__(
        self,
        socket: Frames,
        protocol: Protocol,
        notified: Callable[[str, msgspec.Raw], None],
    ) -> None:
        self._socket = socket
        self._protocol = protocol
        self._notified = notified
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._methods: dict[int, str] = {}
        self._greeted: asyncio.Future[InitializeResult] = asyncio.Future()
        self._reader = asyncio.create_task(self._read(), name="codex reader")
        self.answered_late: set[int] = set()
        self.server = InitializeResult(codex_home="")
        self.process: Process | None = None
        self.lost = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether calls can be made."""
        return self._protocol.state is State.READY

    async def call(
        self, method: str, params: Struct, answer: type[T], *, timeout_s: float | None = None
    ) -> T:
        """Make a call and wait for its answer, for at most `timeout_s` (None: CALL_TIMEOUT_S).

        Raises CallRefused when Codex says no, Unanswered when nothing can be known (no answer in
        time, or the connection was lost after sending), Unreachable when the call was not sent,
        WireError when the answer cannot be read.
        """
        if not self.open:
            raise Unreachable(ADAPTER, "the connection to Codex is lost")
        limit_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        call = self._protocol.call(method, params)
        waiting: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[call], self._methods[call] = waiting, method
        try:
            async with asyncio.timeout(limit_s):
                await self._flush()
                raw = await waiting
        except TimeoutError as error:
            detail = f"{method} was not answered within {limit_s:g} s"
            raise Unanswered(detail, call=call) from error
        finally:
            self._protocol.forget(call)
            self._calls.pop(call, None)
            self._methods.pop(call, None)
        try:
            # Not strict: a number that comes as a string is a number.
            return msgspec.json.decode(raw, type=answer, strict=False)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise WireError(f"codex: the answer to {method} cannot be read: {error}") from error

    def may_come(self, thread_id: str) -> bool:  # noqa: ARG002 - for those that act by a queue
        """Whether a thread at rest may still take in what was handed to it before."""
        return False

    async def close(self) -> None:
        """End the connection."""
        self._lose()
        with contextlib.suppress(WebSocketException, OSError):
            await self._socket.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def greet(self) -> None:
        """Do the handshake."""
        self._protocol.start()
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await self._flush()
            self.server = await self._greeted
        await self._flush()

    async def _flush(self) -> None:
        for line in self._protocol.outgoing():
            with contextlib.suppress(ConnectionClosed):  # the reader sees it and fails the calls
                await self._socket.send(line)

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                if isinstance(frame, str):
                    for event in self._protocol.receive(frame):
                        self._handle(event)
        except ConnectionClosed:
            pass  # the server never says goodbye; there is nothing to learn from how it ended
        finally:
            self._lose()

    def _lose(self) -> None:
        if not self.lost.is_set():
            for event in self._protocol.connection_lost():
                self._handle(event)
            self._welcome(Unreachable(ADAPTER, "the connection was closed"))
            self.lost.set()

    def _handle(self, event: Event) -> None:
        match event:
            case Answered(id=call, result=result):
                self._settle(call, result)
            case Refused(id=call, error=error):
                self._settle(call, CallRefused(self._methods.get(call, "call"), error))
            case Abandoned(id=call):
                method = self._methods.get(call, "call")
                self._settle(call, Unanswered(f"{method}: the connection was lost"))
            case AnsweredLate(id=call):
                self.answered_late.add(call)
            case Notified(method=method, params=params):
                self._notified(method, params)
            case Greeted(result=result):
                self._welcome(result)
            case Rejected(error=error):
                self._welcome(CallRefused("initialize", error))
            case _:
                # What Codex asks its user is never answered, and noise means nothing.
                log.debug("left alone: %s", event)

    def _welcome(self, outcome: InitializeResult | AdapterError) -> None:
        if self._greeted.done():
            return
        if isinstance(outcome, AdapterError):
            self._greeted.set_exception(outcome)
            self._greeted.exception()  # nobody may be waiting for it any more
        else:
            self._greeted.set_result(outcome)

    def _settle(self, call: int, outcome: msgspec.Raw | Exception) -> None:
        waiting = self._calls.get(call)
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Exception):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)


async def open_connection(
    address: Address,
    notified: Callable[[str, msgspec.Raw], None],
    *,
    token: str | None = None,
    client: ClientInfo = CLIENT,
) -> Connection:
    """Connect and shake hands; Unreachable when that fails."""
    try:
        opened = await _open(address, token)
    except InvalidStatus as error:
        raise _not_let_in(address, error.response.status_code, error.response.body) from error
    except (WebSocketException, OSError, TimeoutError) as error:
        detail = f"no app-server answers at {address.text}: {str(error) or type(error).__name__}"
        raise Unreachable(ADAPTER, detail, fix="start Codex, or check the address") from error
    connection = await greeted(Connection(opened, Protocol(client), notified), address)
    try:
        if address.path is None:
            connection.process = await asyncio.to_thread(listening_process, address.port)
        else:
            connection.process = peer_process(opened.transport.get_extra_info("socket"))
    except BaseException:
        await connection.close()
        raise
    return connection


async def greeted(connection: Connection, address: Address) -> Connection:
    """Shake hands; Unreachable, and the connection closed, when that fails."""
    try:
        await connection.greet()
    except (CallRefused, Unreachable, TimeoutError) as error:
        await connection.close()
        why = "no answer to the handshake" if isinstance(error, TimeoutError) else str(error)
        raise Unreachable(ADAPTER, f"{address.text}: {why}") from error
    except asyncio.CancelledError:
        await connection.close()
        raise
    return connection


async def _open(address: Address, token: str | None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if address.path is not None:
        return await unix_connect(
            socket_path(address.path),
            "ws://localhost/",
            additional_headers=headers,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=KEEPALIVE_S,
            ping_timeout=KEEPALIVE_S,
            logger=_handshakes,
        )
    return await connect(
        f"{address.text}/",
        additional_headers=headers,
        compression=None,
        proxy=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=KEEPALIVE_S,
        ping_timeout=KEEPALIVE_S,
        logger=_handshakes,
    )


def _not_let_in(address: Address, status: int, body: bytes | bytearray) -> NotLetIn:
    said = body.decode(errors="replace").strip()[:100]
    detail = f"{address.text} answered {status}" + (f": {said}" if said else "")
    if status in {401, 403}:
        return NotLetIn(ADAPTER, detail, fix="pass the file of its token with --token-file")
    return NotLetIn(ADAPTER, detail, fix="check the address: this is no Codex app-server")
