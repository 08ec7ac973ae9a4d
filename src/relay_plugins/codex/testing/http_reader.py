"""As much of HTTP/1.1 as a stub needs: one request per connection."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from http.client import responses

import msgspec

MAX_HEAD_BYTES = 256 * 1024


class BadHttp(Exception):
    """What arrived is no HTTP request that the stub understands."""


class Head(msgspec.Struct, frozen=True):
    """A request line and its headers, names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


async def read_request(reader: asyncio.StreamReader) -> tuple[Head, bytes] | None:
    """Read one request; None where the peer closed without sending one. Raises BadHttp."""
    try:
        head = parse_head(await reader.readuntil(b"\r\n\r\n"))
        body = await _read_body(reader, head.headers)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise BadHttp("the request ended early") from error
    except asyncio.LimitOverrunError as error:
        raise BadHttp("the request's head is too long") from error
    return head, _decompressed(body, head.headers.get("content-encoding", ""))


def parse_head(raw: bytes) -> Head:
    """Parse everything up to the empty line. Raises BadHttp."""
    lines = raw.decode("latin-1").split("\r\n")
    match lines[0].split(" "):
        case [method, path, version] if version.startswith("HTTP/1."):
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            return Head(method, path, headers)
        case _:
            raise BadHttp(f"not an HTTP request line: {lines[0]!r}")


def answer(status: int, body: bytes) -> bytes:
    """Write a whole JSON answer, after which the connection is closed."""
    phrase = responses.get(status, "Status")
    return (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Frame a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadHttp(f"not a content length: {length!r}")
        return await reader.readexactly(int(length))
    pieces: list[bytes] = []
    while size := _chunk_size(await reader.readuntil(b"\r\n")):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(pieces)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise BadHttp(f"not the size of a chunk: {line!r}") from error


def _decompressed(body: bytes, encoding: str) -> bytes:
    try:
        match encoding.lower():
            case "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case _:
                raise BadHttp(f"a body encoded as {encoding}; turn request compression off")
    except (OSError, EOFError, zlib.error) as error:
        raise BadHttp(f"a body that is not {encoding}") from error
