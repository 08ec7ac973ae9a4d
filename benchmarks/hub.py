"""The hub as a process of its own: the real server over the real store, durable or not.

``python -m benchmarks.hub FOLDER full|off`` is that process. `off` is the same hub with SQLite's
`synchronous` set to OFF: it writes all the same, and waits for no disk.
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

from benchmarks.child import Child
from benchmarks.stage import Stage
from relay_core import Struct
from relay_core.clock import SystemClock, SystemRandom
from relay_core.hub_api import RegisterRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId
from relay_hub.server import HubServer, open_hub
from relay_hub.service import HubService
from relay_hub.store.sqlite import SqliteStore, opening
from relay_hub.tokens import new_token

SENDER = AgentId("bench-sender")


class Running(Struct):
    """The process's first line: where it listens, and who may ask."""

    url: str
    token: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used so far; 0 where that cannot be read."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def hub(stage: Stage, name: str, *, durable: bool = True) -> AsyncGenerator[Running]:
    """Run a hub with an empty store."""
    folder = stage.folder / name
    folder.mkdir()
    program = ("-m", "benchmarks.hub", str(folder), "full" if durable else "off")
    async with Child(program, environ=stage.environ, log=folder / "hub.log") as child:
        yield await child.says(Running)


async def register(running: Running, count: int) -> tuple[AgentId, ...]:
    """Register a sender and so many recipients; the recipients' ids."""
    recipients = tuple(AgentId(f"bench-{number}") for number in range(count))
    async with HubClient(running.url, running.token) as client:
        for agent_id in (SENDER, *recipients):
            await client.register(RegisterRequest(id=agent_id, instance_id=agent_id))
    return recipients


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
