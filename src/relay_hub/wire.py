"""The server's protocols with limits on what comes before a request is a request."""

# What is bounded here: the time and the bytes of a head, the bytes that a body may be on the wire,
# the time that a connection may be idle or leave an answer unread, the pieces of a frame. The guard
# bounds bodies as they are read; the websocket itself bounds frames (`max_size`) and silent peers
# (pings). A connection above `limits.connections` is answered 503 and closed at once, so that the
# open files that the store needs are not all spent on connections.

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from relay_core.hub_api import ErrorBody
from relay_hub.limits import Limits
from relay_hub.push import ABORT

_WIRE_FACTOR = 8
_LONGEST_LINE = 8 * 1024
"""What the websocket's own parser takes of one header."""

_MOST_FRAGMENTS = 1_024
_TOO_BIG, _NO_TEXT = 1009, 1007
_INVALID = "this is no HTTP that the hub takes"


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too large (431) or comes too slowly (408), and what never ends.

    Requests that came before the faulty one are answered first; then the connection is closed.
    """

    limits: ClassVar[Limits]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive = self.limits.idle_timeout_ms / 1_000  # type: ignore[assignment]
        self._head_bytes = 0
        self._body_bytes = 0
        self._begun = False
        self._in_body = False
        self._deaf = False
        self._fault = _INVALID
        self._running: RequestResponseCycle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too_many_connections", "too many connections are open; try later")
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._listens():
            return
        # What begins within this piece is not known to the byte, and a piece is bounded: only
        # what follows counts.
        self._head_bytes += len(data)
        self._body_bytes += len(data)
        super().data_received(data)
        if not self._listens():
            return
        if self._in_body:
            if self._body_bytes > self.limits.request_bytes * _WIRE_FACTOR:
                self._refuse(413, "request_too_large", "the body does not end")
        elif self._head_timer is None:
            if not self._owed():
                self._await_head()  # blank lines after an answer are the start of something
        elif self._head_bytes > self.limits.header_bytes + self.limits.target_bytes:
            self._refuse(431, "head_too_large", "the headers are too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self._head_bytes = 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            # They would join the headers, after the guard has looked at those.
            raise self._bad("headers after the body are not taken")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_came()
        if not self.url.startswith((b"/", b"*")):
            raise self._bad("the path must begin with /")
        super().on_headers_complete()
        self._body_bytes = 0
        self._in_body = True

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        longest = max((len(name) + len(value) for name, value in self.headers), default=0)
        if self._owed():
            self._refuse(400, "bad_http", "an upgrade comes when nothing else is asked")
        elif len(self.url) > self.limits.target_bytes:
            self._refuse(414, "target_too_long", "the path is too long")
        elif len(self.headers) > self.limits.headers or longest > _LONGEST_LINE - len(": \r\n"):
            self._refuse(431, "head_too_large", "the headers are too large")
        else:
            self._deaf = True  # the connection is the websocket's from here on
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        del msg  # uvicorn's own words
        self._refuse(400, "bad_http", self._fault)

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self.limits.answer_timeout_ms / 1_000
        self._unread_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _listens(self) -> bool:
        return not self._deaf and not self.transport.is_closing()

    def _bad(self, detail: str) -> ValueError:
        self._fault = detail
        return ValueError(detail)  # the parser stops at it

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(
                self.limits.header_timeout_ms / 1_000, self._too_slow
            )

    def _head_came(self) -> None:
        self._begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._owed():
            self._await_head()  # the time is ours
        elif self._begun:
            self._refuse(408, "slow_head", "the headers took too long")
        else:
            self.transport.close()

    def _owed(self) -> bool:
        """Tell whether answers are due that come before one to what is being read."""
        if self._in_body:
            return bool(self.pipeline)
        return self._running is not None and not self._running.response_complete

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._head_came()
        self._deaf = True
        if self._owed():
            if self._in_body:
                self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else self._running
            if last is not None:
                last.keep_alive = False
            return
        answered = False
        if self._in_body and self._running is not None:
            answered = self._running.response_started
            self._running.disconnected = True
            self._running.message_event.set()
        if not answered:
            self.transport.write(_refusal(status, code, detail))
        self.transport.close()


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """Lets the application drop a connection whose peer does not read; says what is wrong."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT: transport.abort}

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:  # its head is whole: nothing more would mend it
            self._refuse(400, "the headers are not those of a websocket")

    def handle_connect(self, event: Request) -> None:
        response = self.conn.accept(event)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            super().handle_connect(event)
        else:
            self.handshake_initiated = True
            self._refuse(response.status_code, "this is not the handshake of a websocket")

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= _MOST_FRAGMENTS and not event.fin:
            self._drop(_TOO_BIG, "too many pieces")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # uvicorn would tell the log a whole traceback of it.
                self._drop(_NO_TEXT, "not UTF-8")
                return
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # refused is done: uvicorn would log it as our fault

    def _drop(self, code: int, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _refuse(self, status: int, detail: str) -> None:
        self.handshake_complete = self.close_sent = True
        self.transport.write(_refusal(status, "bad_upgrade", detail))
        self.transport.close()


def bounded_http(limits: Limits) -> type[BoundedHttp]:
    """The HTTP protocol with these limits."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})


def _refusal(status: int, code: str, detail: str) -> bytes:
    body = msgspec.json.encode(ErrorBody(code=code, detail=detail))
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"connection: close\r\n\r\n%s" % (status, code.encode(), len(body), body)
    )
