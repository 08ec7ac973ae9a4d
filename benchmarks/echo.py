"""The yardstick for latency: a bare websocket server that sends back what it is sent.

``python -m benchmarks.echo`` is the server, a process of its own as the hub is.
"""

from __future__ import annotations

import asyncio
import signal
import time

import msgspec
import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.child import Child
from benchmarks.raw_sqlite import BODY
from benchmarks.stage import Stage
from relay_core import Struct


class Listening(Struct):
    """The server's first line: where it listens."""

    url: str


def server(stage: Stage) -> Child:
    """The echo server's process, not yet started."""
    program = ("-m", "benchmarks.echo")
    return Child(program, environ=stage.environ, log=stage.folder / "echo.log")


async def round_trips(url: str, count: int, gap_s: float) -> list[float]:
    """Send a text every `gap_s` seconds and wait for it to come back; microseconds."""
    took: list[float] = []
    async with connect(url, compression=None, proxy=None) as socket:
        for _ in range(count):
            await asyncio.sleep(gap_s)
            before = time.monotonic_ns()
            await socket.send(BODY)
            await socket.recv()
            took.append((time.monotonic_ns() - before) / 1_000)
    return took


async def _echo(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def _serve() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with serve(_echo, "127.0.0.1", 0, compression=None) as listening:
        (socket,) = listening.sockets
        told = Listening(url=f"ws://127.0.0.1:{socket.getsockname()[1]}/")
        print(msgspec.json.encode(told).decode(), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(_serve())
