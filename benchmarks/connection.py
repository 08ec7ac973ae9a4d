"""A keep-alive HTTP/1.1 connection with as little as possible between two requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Answer:
    """A status and a body."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class Connection(asyncio.Protocol):
    """Sends one request at a time and calls back with the answer; `answered` may send the next.

    Understands what a hub on loopback answers: a status, a content-length, a body.
    """

    def __init__(self, answered: Callable[[Answer], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        self._lost()

    def send(self, request: bytes) -> None:
        """Write a whole request."""
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(HEAD_END)
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        at = head.find(LENGTH)
        length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        body_start = head_end + len(HEAD_END)
        if len(self._received) < body_start + length:
            return
        body = self._received[body_start : body_start + length]
        self._received = self._received[body_start + length :]
        self._answered(Answer(int(head[9:12]), body))


class Client:
    """Asks and waits: one connection, one request at a time."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._waiting: asyncio.Future[Answer] | None = None
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Connect."""
        self._connection = await connect(self._url, self._answered, self._lost)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    async def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send one request and wait for its answer; ConnectionError when there is none."""
        return await self.send(request(self._url, self._token, method, path, body))

    async def send(self, whole: bytes) -> Answer:
        """Send a request that was written beforehand."""
        assert self._connection is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._connection.send(whole)
        return await self._waiting

    def _answered(self, answer: Answer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _lost(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the hub closed the connection"))


async def connect(
    url: str, answered: Callable[[Answer], None], lost: Callable[[], None]
) -> Connection:
    """Open a connection to the hub at this address."""
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(answered, lost), place.hostname or "", place.port or 0
    )
    return connection


def request(url: str, token: str, method: str, path: str, body: bytes | None = None) -> bytes:
    """Write a request; a body is JSON."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {token}",
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + (body or b"")
