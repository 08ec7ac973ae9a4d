"""The hub as a process of its own: the real server over the real store, durable or not.

``python -m benchmarks.hub_process FOLDER full|off`` is that process. `off` is the same hub with
SQLite's `synchronous` set to OFF: it writes all the same, and waits for no disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop

from benchmarks.hub import Running
from relay_core.clock import SystemClock, SystemRandom
from relay_hub.server import HubServer, open_hub
from relay_hub.service import HubService
from relay_hub.store.sqlite import SqliteStore, opening
from relay_hub.tokens import new_token


async def _serve(folder: Path, *, durable: bool) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with _durable(folder) if durable else _not_durable(folder) as server:
        told = Running(url=server.url, token=server.token, pid=os.getpid())
        print(msgspec.json.encode(told).decode(), flush=True)
        await stopped.wait()


@asynccontextmanager
async def _durable(folder: Path) -> AsyncGenerator[HubServer]:
    async with open_hub(
        store_file=folder / "hub.sqlite",
        token_file=folder / "token",
        clock=SystemClock(),
        random=SystemRandom(),
        port=0,
    ) as server:
        yield server


@asynccontextmanager
async def _not_durable(folder: Path) -> AsyncGenerator[HubServer]:
    path = folder / "hub.sqlite"
    opening.prepare(path, "bench")
    writer = opening.connect(path)
    writer.execute("PRAGMA synchronous = OFF")
    reader = opening.connect(path, read_only=True)
    with ThreadPoolExecutor(1, thread_name_prefix="hub-writer") as executor:
        store = SqliteStore(writer, reader, executor=executor, path=path)
        random = SystemRandom()
        service = await HubService.open(store, clock=SystemClock(), random=random)
        server = HubServer(service, token=new_token(random), port=0)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
            await store.close()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), durable=sys.argv[2] == "full"))
