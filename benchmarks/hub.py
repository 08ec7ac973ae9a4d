"""A hub that runs in a process of its own, seen from whoever asks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.child import Child
from benchmarks.process import cpu_s
from benchmarks.stage import Stage
from relay_core import Struct
from relay_core.hub_api import RegisterRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId

SENDER = AgentId("bench-sender")


class Running(Struct):
    """The process's first line: where it listens, and who may ask."""

    url: str
    token: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used so far; 0 where that cannot be read."""
        return cpu_s(self.pid)


@asynccontextmanager
async def hub(stage: Stage, name: str, *, durable: bool = True) -> AsyncGenerator[Running]:
    """Run a hub with an empty store."""
    folder = stage.folder / name
    folder.mkdir()
    program = ("-m", "benchmarks.hub_process", str(folder), "full" if durable else "off")
    async with Child(program, environ=stage.environ, log=folder / "hub.log") as child:
        yield await child.says(Running)


async def register(running: Running, count: int) -> tuple[AgentId, ...]:
    """Register a sender and so many recipients; the recipients' ids."""
    recipients = tuple(AgentId(f"bench-{number}") for number in range(count))
    async with HubClient(running.url, running.token) as client:
        for agent_id in (SENDER, *recipients):
            await client.register(RegisterRequest(id=agent_id, instance_id=agent_id))
    return recipients
