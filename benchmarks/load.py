"""Load for a hub: connections that each post their next message when the last one is answered.

``python -m benchmarks.load URL CONNECTIONS SECONDS`` is the client, a process of its own; the token
comes in its environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import msgspec
import uvloop

from benchmarks.child import Child
from benchmarks.connection import Answer, Connection, connect, request
from benchmarks.figures import percentile
from benchmarks.hub import SENDER, Running
from benchmarks.raw_sqlite import BODY
from benchmarks.stage import Stage
from relay_core import Struct
from relay_core.hub_api import SendRequest

CREATED = 201
MOST_EACH = 900
"""A recipient takes 1,000 messages that wait; each connection has one of its own and stops here."""

TOKEN = "BENCH_HUB_TOKEN"  # noqa: S105 - the name of a variable


class Rate(Struct):
    """What a run came to; latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float
    answered: int


def client(stage: Stage, running: Running, connections: int, seconds: float) -> Child:
    """The load client's process, not yet started; it says one Rate."""
    program = ("-m", "benchmarks.load", running.url, str(connections), str(seconds))
    environ = {**stage.environ, TOKEN: running.token}
    return Child(program, environ=environ, log=stage.folder / "load.log")


class _Publisher:
    """One connection in a closed loop."""

    def __init__(self, whole_request: bytes, end: float) -> None:
        self._request = whole_request
        self._end = end
        self._sent_at = 0.0
        self._connection: Connection | None = None
        self.took: list[float] = []
        self.done = asyncio.Event()
        self.trouble: str | None = None

    async def open(self, url: str) -> None:
        self._connection = await connect(url, self._answered, self._lost)
        self._next()

    def _next(self) -> None:
        assert self._connection is not None
        self._sent_at = time.perf_counter()
        if self._sent_at >= self._end or len(self.took) >= MOST_EACH:
            self._connection.close()
            self.done.set()
            return
        self._connection.send(self._request)

    def _answered(self, answer: Answer) -> None:
        self.took.append(time.perf_counter() - self._sent_at)
        if answer.status != CREATED:
            self.trouble = f"{answer.status} {answer.body[:200]!r}"
            self.done.set()
            return
        self._next()

    def _lost(self) -> None:
        if not self.done.is_set():
            self.trouble = "the hub closed the connection"
            self.done.set()


async def _load(url: str, token: str, connections: int, seconds: float) -> Rate:
    start = time.perf_counter()
    publishers = [
        _Publisher(request(url, token, "POST", "/api/messages", _message(number)), start + seconds)
        for number in range(connections)
    ]
    await asyncio.gather(*(each.open(url) for each in publishers))
    for each in publishers:
        await each.done.wait()
        if each.trouble is not None:
            raise RuntimeError(each.trouble)
    elapsed = time.perf_counter() - start
    took = [sample * 1_000 for each in publishers for sample in each.took]
    return Rate(
        per_second=len(took) / elapsed,
        p50=percentile(took, 0.5),
        p99=percentile(took, 0.99),
        answered=len(took),
    )


def _message(number: int) -> bytes:
    return msgspec.json.encode(SendRequest(to=f"bench-{number}", from_=SENDER, body=BODY))


if __name__ == "__main__":
    _url, _connections, _seconds = sys.argv[1:]
    _rate = uvloop.run(_load(_url, os.environ[TOKEN], int(_connections), float(_seconds)))
    print(msgspec.json.encode(_rate).decode(), flush=True)
