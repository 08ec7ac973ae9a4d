"""The host's control socket: one JSON line in, one JSON line out.

A line is `{"v": 1, "op": NAME, "body": …}`, its answer `{"ok": true, "body": …}` or
`{"ok": false, "code": WORD, "detail": LINE, "fix": LINE}`. The folder of the socket is 0700 and
this user's, or refused: whoever can open the socket acts as the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec

from relay_core.errors import RelayError, SocketsForbidden, WireError, is_forbidden
from relay_core.messages import Struct

log = logging.getLogger("relay.control")

PROTOCOL_VERSION = 1
CLOSE_WAIT_S = 2.0
LINE_LIMIT = 4 * 1024 * 1024
"""The longest line in bytes; longer ones end the connection."""

NO_BODY = msgspec.Raw(b"null")

Operation = Callable[[msgspec.Raw], Awaitable[msgspec.Raw]]
"""Answers one line: body in, body out."""


class Request(Struct):
    """One line to the host."""

    op: str
    v: int = PROTOCOL_VERSION
    body: msgspec.Raw = NO_BODY


class Answer(Struct):
    """One line back."""

    ok: bool
    body: msgspec.Raw = NO_BODY
    code: str | None = None
    detail: str | None = None
    fix: str | None = None


class HostUnreachable(RelayError):
    """No host answers on the control socket."""

    code = "host_unreachable"


class FolderNotOurs(RelayError):
    """Others than this user may put a socket where the host's is."""

    code = "folder_not_ours"


class HostRuns(RelayError):
    """A live host has the control socket already."""

    code = "host_runs"


class HostRefused(RelayError):
    """The host answered with an error; `code` is its word."""

    def __init__(self, code: str, detail: str, fix: str | None) -> None:
        super().__init__(detail, fix=fix)
        self.code = code


def body_of(value: object) -> msgspec.Raw:
    """Encode a value as the body of a line."""
    return msgspec.Raw(msgspec.json.encode(value))


async def call(socket: Path, op: str, body: object = None, *, timeout_s: float = 30) -> msgspec.Raw:
    """Ask the host one thing.

    Raises HostUnreachable when nobody listens or no answer comes in time, HostRefused with the
    host's own words, WireError when the answer cannot be understood, SocketsForbidden in a sandbox,
    FolderNotOurs when somebody else could listen there.
    """
    _check_folder(socket.parent)
    line = msgspec.json.encode(Request(op=op, body=body_of(body))) + b"\n"
    try:
        async with asyncio.timeout(timeout_s):
            reply = await _exchange(socket, line)
    except TimeoutError as error:
        detail = f"the host did not answer {op} within {timeout_s:g} s"
        raise HostUnreachable(detail, fix="agent-relay status") from error
    except OSError as error:
        if is_forbidden(error):
            raise SocketsForbidden from error
        detail = f"no host listens on {socket}"
        raise HostUnreachable(detail, fix="agent-relay up") from error
    try:
        answer = msgspec.json.decode(reply, type=Answer)
    except msgspec.DecodeError as error:
        raise WireError(f"the host's answer cannot be read: {error}") from error
    if not answer.ok:
        raise HostRefused(answer.code or "host_error", answer.detail or "refused", answer.fix)
    return answer.body


async def _exchange(socket: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket, limit=LINE_LIMIT)
    try:
        writer.write(line)
        await writer.drain()
        reply = await reader.readline()
    except ValueError as error:
        raise WireError("the host's answer is too long") from error
    finally:
        writer.close()
    if not reply:
        raise ConnectionResetError("closed without an answer")
    return reply


class ControlServer:
    """Listens on the control socket and carries each line to whoever registered its operation."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._operations: dict[str, Operation] = {}
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def register(self, name: str, operation: Operation) -> bool:
        """Answer lines with this `op`; False when the name is taken."""
        if name in self._operations:
            return False
        self._operations[name] = operation
        return True

    async def open(self) -> None:
        """Begin to listen.

        Raises FolderNotOurs when the folder is not this user's alone, HostRuns when a live host
        listens there.
        """
        own_folder(self.socket.parent)
        if self.socket.exists():
            if await _answers(self.socket):
                raise HostRuns(f"a host already listens on {self.socket}", fix="agent-relay status")
            self.socket.unlink()
        umask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self.socket, limit=LINE_LIMIT
            )
        finally:
            os.umask(umask)

    async def close(self) -> None:
        """Stop listening, end open connections, remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_WAIT_S)
        await self._server.wait_closed()
        self._server = None
        self.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self.answer(line)) + b"\n")
                await writer.drain()
        except ValueError:  # longer than LINE_LIMIT: what follows cannot be told apart any more
            too_long = Answer(ok=False, code="too_long", detail="a line may have 4 MiB")
            writer.write(msgspec.json.encode(too_long) + b"\n")
        except ConnectionError:
            pass  # the other side went away; nobody is left to tell
        finally:
            writer.close()

    async def answer(self, line: bytes) -> Answer:
        """Answer one line; errors become answers."""
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.DecodeError, RecursionError) as error:
            return Answer(ok=False, code="bad_line", detail=f"not a control line: {error}")
        if request.v != PROTOCOL_VERSION:
            detail = f"this host speaks version {PROTOCOL_VERSION}, the line version {request.v}"
            return Answer(ok=False, code="version", detail=detail, fix="agent-relay up")
        operation = self._operations.get(request.op)
        if operation is None:
            detail = f"this host knows no operation {request.op!r}"
            return Answer(ok=False, code="unknown_op", detail=detail, fix="agent-relay up")
        try:
            return Answer(ok=True, body=await operation(request.body))
        except RelayError as error:
            return Answer(ok=False, code=error.code, detail=error.detail, fix=error.fix)
        except (msgspec.DecodeError, RecursionError) as error:
            return Answer(ok=False, code="bad_body", detail=f"{request.op}: {error}")
        except Exception as error:
            # A plugin's operation may raise anything; whoever asked must still get a line.
            log.exception("operation %s failed", request.op)
            return Answer(ok=False, code="operation_failed", detail=f"{request.op}: {error!r}")


async def _answers(socket: Path) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_unix_connection(socket)
        writer.close()
        return True
    return False


def own_folder(folder: Path) -> None:
    """Make the folder of the sockets; FolderNotOurs when it is not this user's alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(folder)


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which others may put a socket: who does can speak as the host."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        detail = f"{folder} must be a folder of yours that nobody else may enter"
        raise FolderNotOurs(detail, fix=f"rm -r {folder}, or chmod 700 {folder}")
