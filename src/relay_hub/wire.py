"""The server's protocols with limits on what comes before a request is a request."""

# What is bounded here: the time and the bytes that a request's head takes. Bodies are bounded by
# the guard, frames by the websocket's `max_size`, silent peers of a websocket by its pings. Not
# bounded by uvicorn or here: how slowly a client reads an answer, and the number of idle
# connections (the kernel's limit on open files is what ends those).

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay_core.hub_api import ErrorBody
from relay_hub.limits import Limits
from relay_hub.push import ABORT


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too large (431) or comes too slowly (408)."""

    limits: ClassVar[Limits]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is None or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > self.limits.header_bytes + self.limits.target_bytes:
            self._refuse(431, "head_too_large", "the headers are too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_http", msg)

    def _await_head(self) -> None:
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(
                self.limits.header_timeout_ms / 1_000, self._too_slow
            )

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self._head_bytes:
            self._refuse(408, "slow_head", "the headers took too long")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._head_came()
        body = msgspec.json.encode(ErrorBody(code=code, detail=detail))
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, code.encode(), len(body), body)
        )
        self.transport.close()


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """Lets the application drop a connection whose peer does not read."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT: transport.abort}


def bounded_http(limits: Limits) -> type[BoundedHttp]:
    """The HTTP protocol with these limits."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})
