"""The stub model server: a Responses API on loopback that the real Codex talks to.

It runs in a thread with an event loop of its own, so that synchronous and asynchronous tests use
it alike, and a test that blocks its own loop does not block the model.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

import msgspec

from relay_plugins.codex.testing.http_reader import (
    MAX_HEAD_BYTES,
    STREAM_END,
    STREAM_HEAD,
    BadHttp,
    answer,
    chunk,
    read_request,
)
from relay_plugins.codex.testing.recorded import Request, request
from relay_plugins.codex.testing.replies import HttpError, Late, Reply, Say, directive
from relay_plugins.codex.testing.stream import Cut, Pause, Step, WaitFor, encode, steps

Script: TypeAlias = Callable[[Request], Reply | None]
"""Chooses the reply to a request; None leaves it to the directives and the default.

Called in the stub's own thread.
"""

GATE_POLL_S = 0.005
START_TIMEOUT_S = 10.0


class ClientGone(Exception):
    """Codex closed its connection: the turn was interrupted or steered, or Codex has ended."""


class StubModel:
    """A scripted model. Use it as a context manager, or call `start` and `stop`.

    For each model request the reply is, in this order: the oldest one of `enqueue`, what `script`
    answers, a directive in the newest user text (only with `directives`: a relayed message could
    hold one), and else a short fixed text. The default never repeats its input, so that counting
    how often a text reaches the model counts deliveries and not echoes.

    Not promised: anything about tokens, models, or endpoints that Codex can do without.
    """

    def __init__(
        self, script: Script | None = None, *, directives: bool = False, port: int = 0
    ) -> None:
        self.script = script
        self._directives = directives
        self._port = port
        self._requests: list[Request] = []
        self._queued: deque[Reply] = deque()
        self._arrived = threading.Condition()
        self._faults: list[Exception] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()

    # --- life ---

    def start(self) -> Self:
        """Listen on loopback; returns when requests are accepted. Raises OSError."""
        ready: deque[OSError | None] = deque()
        started = threading.Event()

        def run() -> None:
            asyncio.run(self._serve(ready, started))

        self._thread = threading.Thread(target=run, name="stub-model", daemon=True)
        self._thread.start()
        if not started.wait(START_TIMEOUT_S):
            raise TimeoutError("the stub model did not start")
        error = ready.popleft()
        if error is not None:
            self._thread.join()
            raise error
        return self

    def stop(self) -> None:
        """Close the port and every connection; returns when the thread has ended. Repeatable."""
        loop, stopping, thread = self._loop, self._stopping, self._thread
        self._loop = self._stopping = self._thread = None
        if loop is None or stopping is None or thread is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; raises the first fault of the script or of a directive."""
        self.stop()
        if error is None and self._faults:
            raise self._faults[0]

    @property
    def base_url(self) -> str:
        """Where Codex finds the API, for `base_url` in its config.toml."""
        return f"http://127.0.0.1:{self._port}/v1"

    # --- what it will say ---

    def enqueue(self, *replies: Reply) -> None:
        """Give the next model requests these replies, one each."""
        with self._arrived:
            self._queued.extend(replies)

    # --- what it was asked ---

    def requests(self) -> tuple[Request, ...]:
        """Every model request so far, oldest first."""
        return tuple(seen for seen in self.all_requests() if seen.asks_model)

    def all_requests(self) -> tuple[Request, ...]:
        """Every HTTP request so far, also those that ask for no answer of the model."""
        with self._arrived:
            return tuple(self._requests)

    def counts(self, text: str) -> tuple[int, ...]:
        """How often `text` stood in the input of each model request."""
        return tuple(seen.count(text) for seen in self.requests())

    def wait_for_requests(self, number: int, timeout_s: float = 30.0) -> tuple[Request, ...]:
        """Block until there are `number` model requests; raises TimeoutError with how many came."""
        with self._arrived:
            enough = self._arrived.wait_for(
                lambda: sum(seen.asks_model for seen in self._requests) >= number, timeout_s
            )
        seen = self.requests()
        if not enough:
            raise TimeoutError(f"{len(seen)} of {number} model requests after {timeout_s} s")
        return seen

    async def requests_reach(self, number: int, timeout_s: float = 30.0) -> tuple[Request, ...]:
        """Do as `wait_for_requests` does, without blocking the caller's event loop."""
        return await asyncio.to_thread(self.wait_for_requests, number, timeout_s)

    # --- the server, in its own thread ---

    async def _serve(self, ready: deque[OSError | None], started: threading.Event) -> None:
        stopping = asyncio.Event()
        try:
            server = await asyncio.start_server(
                self._connected, "127.0.0.1", self._port, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            ready.append(error)
            started.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._loop, self._stopping = asyncio.get_running_loop(), stopping
        ready.append(None)
        started.set()
        await stopping.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a callback of start_server is a task
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (ClientGone, ConnectionError):
            pass  # Codex closes the stream of a turn that ends early: nothing to tell
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            got = await read_request(reader)
        except BadHttp as error:
            writer.write(_error(400, str(error)))
            self._faults.append(error)
            return
        if got is None:
            return
        head, body = got
        seen = self._record(head.method, head.path, head.headers, body)
        if not seen.asks_model:
            known = seen.method == "GET" and seen.path.partition("?")[0].endswith("/models")
            writer.write(answer(200, b'{"models":[]}') if known else _error(404, "not found"))
            return
        try:
            reply = self._choose(seen)
        except Exception as error:  # noqa: BLE001 - a script may raise anything; `__exit__` raises it
            self._faults.append(error)
            writer.write(_error(500, f"the script of the stub model: {error!r}"))
            return
        if isinstance(reply, HttpError):
            writer.write(_error(reply.status, reply.message))
            return
        await self._play(reply, seen, reader, writer)

    def _record(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Request:
        with self._arrived:
            seen = request(
                number=len(self._requests) + 1,
                at_ms=time.time() * 1000,
                method=method,
                path=path,
                headers=headers,
                body=body,
            )
            self._requests.append(seen)
            self._arrived.notify_all()
        return seen

    def _choose(self, seen: Request) -> Reply:
        with self._arrived:
            if self._queued:
                return self._queued.popleft()
        told = self.script(seen) if self.script is not None else None
        if told is None and self._directives:
            told = directive(seen.newest_user_text or "")
        return Say() if told is None else told

    async def _play(
        self,
        reply: Reply,
        seen: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        gone = asyncio.ensure_future(reader.read(1))
        try:
            if isinstance(reply, Late):
                await _silence(gone, reply.delay_s)
            writer.write(STREAM_HEAD)
            identity, now = uuid.uuid4().hex, int(time.time())
            for step in steps(reply, seen, identity=identity, created_at=now):
                if isinstance(step, Cut):
                    await writer.drain()
                    return
                await _take(step, gone, writer)
            writer.write(STREAM_END)
            await writer.drain()
        finally:
            gone.cancel()


async def _take(step: Step, gone: asyncio.Future[bytes], writer: asyncio.StreamWriter) -> None:
    match step:
        case Pause(seconds=seconds):
            await _silence(gone, seconds)
        case WaitFor(gate=gate):
            while gate is None or not gate.is_set():
                await _silence(gone, GATE_POLL_S if gate else None)
        case Cut():
            raise AssertionError(step)
        case event:
            writer.write(chunk(encode(event)))
            await writer.drain()


async def _silence(gone: asyncio.Future[bytes], seconds: float | None) -> None:
    """Send nothing for a while; raises ClientGone as soon as nobody listens any more."""
    await asyncio.wait({gone}, timeout=seconds)
    if gone.done():
        raise ClientGone


class _ErrorDetail(msgspec.Struct, frozen=True):
    message: str


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _ErrorDetail


def _error(status: int, message: str) -> bytes:
    return answer(status, msgspec.json.encode(_ErrorBody(_ErrorDetail(message))))
