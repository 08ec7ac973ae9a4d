"""`/api/stream`: the websocket on which a host hears what to fetch."""

# Rule 1: one bounded buffer for each connection and no task: a frame is written when it comes, and
#         kept only while the client does not read.
# Rule 2: a client that reads too slowly is closed with 1013; it comes back and fetches.
# Rule 3: frames of an unknown type are passed over, broken ones are answered, too many of them
#         close.

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, cast

import msgspec

from relay_core.errors import HubRefused
from relay_core.hub_api import ErrorFrame, ServeFrame, StreamFrame, WatchFrame
from relay_core.messages import Struct
from relay_hub.asgi import Event, Receive, Scope, Send, one_line, respond_refused
from relay_hub.callers import Caller
from relay_hub.guard import CALLER
from relay_hub.limits import Limits
from relay_hub.service import HubService
from relay_hub.streams import Subscription

ABORT = "relay_abort"
"""Where the server leaves the way to drop a connection, in the scope's state."""

SLOW = 1013
POLICY = 1008
MOST_BROKEN = 10
_ABORT_AFTER_S = 2.0

_encode = msgspec.json.Encoder().encode


class _AnyFrame(Struct):
    type: str


_any_frame = msgspec.json.Decoder(_AnyFrame)
_serve_frame = msgspec.json.Decoder(ServeFrame)
_watch_frame = msgspec.json.Decoder(WatchFrame)


class Stream:
    """The ASGI endpoint."""

    def __init__(self, service: HubService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            refused = HubRefused(426, "upgrade_required", "/api/stream is a websocket")
            await respond_refused(send, refused, headers={b"upgrade": b"websocket"})
            return
        await receive()
        connection = Connection(send, self._service.limits, scope["state"].get(ABORT))
        caller: Caller = scope[CALLER]
        try:
            subscription = self._service.listening.open(caller, connection.take)
        except HubRefused as error:
            await respond_refused(send, error, websocket=True)
            return
        await send({"type": "websocket.accept"})
        connection.open()
        try:
            await self._listen(receive, connection, subscription)
        finally:
            connection.end()
            await self._service.listening.close(subscription)

    async def _listen(
        self, receive: Receive, connection: Connection, subscription: Subscription
    ) -> None:
        broken = 0
        while (event := await receive())["type"] != "websocket.disconnect":
            try:
                await self._take(event, subscription)
            except HubRefused as error:
                broken += 1
                connection.put(_encode(ErrorFrame(code=error.code, detail=one_line(error.detail))))
                if broken >= MOST_BROKEN:
                    connection.close(POLICY, "too many broken frames")

    async def _take(self, event: Event, subscription: Subscription) -> None:
        text: str | None = event.get("text")
        if text is None:
            raise HubRefused(400, "bad_frame", "a frame is JSON text")
        try:
            frame: ServeFrame | WatchFrame
            match _any_frame.decode(text).type:
                case "serve":
                    frame = _serve_frame.decode(text)
                case "watch":
                    frame = _watch_frame.decode(text)
                case _:
                    return
        except (msgspec.DecodeError, RecursionError) as error:
            raise HubRefused(400, "bad_frame", f"this frame cannot be read: {error}") from error
        if isinstance(frame, ServeFrame):
            await self._service.listening.serve(subscription, frame.agents)
        else:
            await self._service.listening.watch(subscription, frame.agents)


class Connection:
    """The sending side of one websocket."""

    def __init__(self, send: Send, limits: Limits, abort: Callable[[], None] | None) -> None:
        self._send = send
        self._most = limits.stream_buffer_bytes
        self._abort = abort
        self._waiting: deque[Event] = deque()
        self._size = 0
        self._ready = False
        self._ended = False
        self._stuck: asyncio.Task[None] | None = None

    def take(self, frame: StreamFrame) -> None:
        """Write a frame now, or keep it while the client does not read."""
        if not self._ended:
            self.put(_encode(frame))

    def put(self, data: bytes) -> None:
        """Write encoded text now, or keep it."""
        self._put({"type": "websocket.send", "text": data.decode()}, len(data))

    def open(self) -> None:
        """Write what came before the handshake was done."""
        self._ready = True
        self._flush()

    def close(self, code: int, reason: str) -> None:
        """End the connection; it is dropped where the client does not even read that."""
        if self._ended:
            return
        self._put({"type": "websocket.close", "code": code, "reason": reason}, 0)
        self._ended = True
        if self._abort is not None:
            asyncio.get_running_loop().call_later(_ABORT_AFTER_S, self._abort)

    def end(self) -> None:
        """Take nothing more; the connection is over."""
        self._ended = True
        self._waiting.clear()
        if self._stuck is not None:
            self._stuck.cancel()

    def _put(self, event: Event, size: int) -> None:
        self._waiting.append(event)
        self._size += size
        if self._ready and self._stuck is None:
            self._flush()
        if self._size > self._most:
            self._waiting.clear()
            self._size = 0
            self.close(SLOW, "reads too slowly")

    def _flush(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            self._size -= len(event.get("text", ""))
            # The server writes at once unless the client does not read: no task in that case.
            steps = cast("Coroutine[Any, None, None]", self._send(event))
            try:
                waited_for = steps.send(None)
            except StopIteration:
                continue
            except Exception:  # noqa: BLE001 - the connection broke while writing; `receive` tells
                self._ended = True
                self._waiting.clear()
                return
            self._stuck = asyncio.get_running_loop().create_task(
                self._finish(_Resumed(steps, waited_for))
            )
            return

    async def _finish(self, writing: Awaitable[None]) -> None:
        try:
            with contextlib.suppress(Exception):  # the connection broke; `receive` tells
                await writing
        finally:
            self._stuck = None
        self._flush()


class _Resumed:
    """Awaits a coroutine that was started by hand and now waits for something."""

    def __init__(self, steps: Coroutine[Any, None, None], first: Any) -> None:
        self._steps = steps
        self._first = first

    def __await__(self) -> Generator[Any, None, None]:
        waited_for = self._first
        while True:
            error: BaseException | None = None
            try:
                yield waited_for
            except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's to handle
                error = thrown
            try:
                waited_for = self._steps.send(None) if error is None else self._steps.throw(error)
            except StopIteration:
                return
