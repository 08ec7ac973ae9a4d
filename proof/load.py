"""A hub and host in a process of their own under load: many streams, a full queue, a long day."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

from proof.part import PartResult
from relay_core import Struct
from relay_core.errors import HubRefused
from relay_core.hub_api import MailFrame, RegisterRequest, SendRequest, Served
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId
from relay_core.ports import HubStream

STREAMS, QUEUED, AT_ONCE = 1_000, 10_000, 32
MOST_RSS_MB = 200.0
PATIENCE_S = 120.0
PAUSE_S = 0.02
GROWN, GROWN_MB = 1.25, 15.0
"""How much larger the process may be at the end of the long day than after its first quarter:
SQLite's and Python's caches fill, a leak does not stop."""
SPARE_FILES = 20
CONFIG = f"""
[hub.limits]
queue = {QUEUED}
[plugin."relay.echo"]
agents = ["ada"]
"""


class Sample(Struct):
    """The server's process at one moment."""

    rss_mb: float
    files: int
    threads: int


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Fill it, then let mail and streams come and go until the time is over."""
    return asyncio.run(_run(time.monotonic() + seconds, say))


async def _run(until: float, say: Callable[[str], None]) -> PartResult:
    broken: list[str] = []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with _server(Path(folder)) as (client, pid):
            hinted = await _stream_to_each(client)
            say(f"{hinted} of {STREAMS} streams had their hint")
            if hinted < STREAMS:
                broken.append(f"only {hinted} of {STREAMS} streams heard of their mail")
            refused = await _fill_a_queue(client)
            full = _sample(pid)
            say(f"{QUEUED} queued, then {refused}; {full.rss_mb:.0f} MB")
            if refused != "429 recipient_full":
                broken.append(f"message {QUEUED + 1} was answered {refused}")
            if full.rss_mb > MOST_RSS_MB:
                broken.append(f"{full.rss_mb:.0f} MB with {QUEUED} queued")
            sent, lost, samples = await _long_day(client, pid, until)
            broken += lost + _growth(samples)
    return PartResult(
        name="load",
        reached={
            "streams at once": hinted,
            "queued": QUEUED,
            "MB then": round(full.rss_mb),
            "messages of the long day": sent,
            "MB after it": round(samples[-1].rss_mb),
            "open files after it": samples[-1].files,
        },
        failures=tuple(f"{each} — replay: python -m proof --only load" for each in broken),
    )


@asynccontextmanager
async def _server(folder: Path) -> AsyncGenerator[tuple[HubClient, int]]:
    (folder / "config").mkdir()
    (folder / "config" / "config.toml").write_text(CONFIG)
    environ = {**os.environ, "AGENT_RELAY_HOME": str(folder)}
    program = (sys.executable, "-m", "relay_cli", "up", "--port", "0", "--json")
    server = await asyncio.create_subprocess_exec(
        *program, env=environ, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert server.stdout is not None
        url = json.loads(await server.stdout.readline())["url"]
        token = (folder / "data" / "token").read_text().strip()
        async with HubClient(url, token) as client:
            yield client, server.pid
    finally:
        server.terminate()
        await server.wait()


async def _stream_to_each(client: HubClient) -> int:
    """Open so many streams, each for an agent of its own, and write to each agent."""
    gate = asyncio.Semaphore(AT_ONCE)

    async with AsyncExitStack() as opened:

        async def open_one(number: int) -> tuple[AgentId, HubStream]:
            async with gate:
                name = AgentId(f"crowd-{number}")
                agent = await client.register(RegisterRequest(id=name, instance_id="i"))
                stream = await client.open_stream()
                opened.push_async_callback(stream.close)
                await stream.serve((Served(id=name, instance_id="i", epoch=agent.epoch),))
                return name, stream

        streams = await asyncio.gather(*(open_one(number) for number in range(STREAMS)))

        async def hear(stream: HubStream) -> bool:
            async for frame in stream.frames():
                if isinstance(frame, MailFrame):
                    return True
            return False

        listening = [asyncio.create_task(hear(stream)) for _, stream in streams]
        await _send_all(client, [name for name, _ in streams])
        done, late = await asyncio.wait(listening, timeout=PATIENCE_S)
        for task in late:
            task.cancel()
        return sum(task.result() for task in done if task.exception() is None)


async def _fill_a_queue(client: HubClient) -> str:
    """Let so much wait for one agent; answer what becomes of one message more."""
    await client.register(RegisterRequest(id=AgentId("sleeper"), instance_id="i"))
    await _send_all(client, [AgentId("sleeper")] * QUEUED)
    try:
        await client.send(SendRequest(to="sleeper", body="one more"))
    except HubRefused as refused:
        return f"{refused.status} {refused.code}"
    return "201"


async def _send_all(client: HubClient, names: Sequence[AgentId]) -> list[int]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def send(name: AgentId) -> int:
        async with gate:
            return (await client.send(SendRequest(to=name, body="a word"))).id

    return await asyncio.gather(*(send(name) for name in names))


async def _long_day(
    client: HubClient, pid: int, until: float
) -> tuple[int, list[str], list[Sample]]:
    """Write to an agent that is served, while streams come and go; then all must be delivered."""
    sent: list[int] = []
    samples = [_sample(pid)]
    while time.monotonic() < until:
        stream = await client.open_stream()
        sent += await _send_all(client, [AgentId("ada")] * AT_ONCE)
        await stream.close()
        samples.append(_sample(pid))
        await asyncio.sleep(PAUSE_S)
    waiting, patience = set(sent), time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < patience:
        for message in sorted(waiting)[:AT_ONCE]:
            view = await client.message(message)
            if [each.state for each in view.deliveries] == ["delivered"]:
                waiting.discard(message)
    await asyncio.sleep(1)
    samples.append(_sample(pid))
    return len(sent), [f"{len(waiting)} of {len(sent)} were not delivered"] * bool(waiting), samples


def _growth(samples: Sequence[Sample]) -> list[str]:
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]
    found: list[str] = []
    before, after = (median(each.rss_mb for each in part) for part in (early, late))
    if after > before * GROWN + GROWN_MB:
        found.append(f"the process grew from {before:.0f} to {after:.0f} MB")
    if late[-1].files > early[0].files + SPARE_FILES:
        found.append(f"open files grew from {early[0].files} to {late[-1].files}")
    if late[-1].threads > early[0].threads + 2:
        found.append(f"threads grew from {early[0].threads} to {late[-1].threads}")
    return found


def _sample(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Sample(
        rss_mb=int(fields["VmRSS"].split()[0]) / 1024,
        files=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(fields["Threads"]),
    )
