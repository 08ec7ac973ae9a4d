"""Latency against polling: the same hub, asked each 2,000 ms as the relay's predecessor did.

``python -m benchmarks.polling URL POLLERS INTERVAL_S SECONDS`` is the process that polls.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import time

import msgspec
import uvloop

from benchmarks.child import Child
from benchmarks.connection import Client
from benchmarks.figures import Goal, Round, Section, percentile, row
from benchmarks.hub import SENDER, Running, hub, register
from benchmarks.load import CREATED, TOKEN
from benchmarks.received import way
from benchmarks.stage import Stage
from relay_core import Struct
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, MessageId

EVERY_S = 0.25
MOST_ROUNDS = 3
PUSH = "push beside polling"


class Started(Struct):
    """The pollers' first line."""

    pollers: int


class Polled(Struct):
    """The pollers' last line: how long each message took to each poller, in milliseconds."""

    took: tuple[float, ...]


async def measure(stage: Stage) -> Section:
    """In each round: messages at random times to pollers, and the same hub's push."""
    rounds: list[Round] = []
    interval_ms = stage.size.poll_s * 1_000
    for number in range(min(stage.size.rounds, MOST_ROUNDS)):
        stage.say(f"polling: round {number + 1} of {min(stage.size.rounds, MOST_ROUNDS)}")
        took = await _polled(stage, seed=number)
        pushed = await _pushed(stage)
        rounds.append(
            {
                "polled mean": sum(took) / len(took),
                "polled p99": percentile(took, 0.99),
                "polled count": len(took),
                "arithmetic": interval_ms / 2,
                "pushed p50": pushed[f"{PUSH} p50"] / 1_000,
            }
        )
    every = f"polling each {interval_ms:,.0f} ms"
    count = sum(each["polled count"] for each in rounds)
    return Section(
        name="polling",
        title=f"Push against {every}",
        rows=(
            row(
                "publish → received by push, durable, p50", "pushed p50", "ms", rounds,
                beside=("polled mean",), yardstick=f"{every}, measured mean",
                goal=Goal(most=1 / 500),
            ),
            row(
                "the same by arithmetic", "pushed p50", "ms", rounds,
                beside=("arithmetic",), yardstick=f"{every}, mean by arithmetic: half of it",
                goal=Goal(most=1 / 500),
            ),
            row(f"{every}, measured mean", "polled mean", "ms", rounds),
            row(f"{every}, p99", "polled p99", "ms", rounds),
        ),
        notes=(
            f"{stage.size.pollers} pollers with phases of their own, {count:.0f} samples in all.",
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


async def _pushed(stage: Stage) -> Round:
    name = "pushed"
    async with hub(stage, name) as running, way(stage, running, "client") as pushing:
        figures = await pushing.through(PUSH)
    shutil.rmtree(stage.folder / name)
    return figures


async def _polled(stage: Stage, *, seed: int) -> tuple[float, ...]:
    size, name = stage.size, "polled"
    async with hub(stage, name) as running:
        await register(running, size.pollers)
        program = (
            "-m", "benchmarks.polling", running.url, str(size.pollers), str(size.poll_s),
            str(size.polled_for_s),
        )  # fmt: skip
        environ = {**stage.environ, TOKEN: running.token}
        async with Child(program, environ=environ, log=stage.folder / "polling.log") as child:
            await child.says(Started)
            await _publish(running, size.polled_for_s - size.poll_s * 1.2, random.Random(seed))
            polled = await child.says(Polled)
    shutil.rmtree(stage.folder / name)
    return polled.took


async def _publish(running: Running, seconds: float, chance: random.Random) -> None:
    """Send to everybody at random times; the body is the time of sending."""
    client = Client(running.url, running.token)
    await client.open()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * EVERY_S)
            text = str(time.monotonic_ns())
            body = msgspec.json.encode(SendRequest(to="broadcast", from_=SENDER, body=text))
            answer = await client.ask("POST", "/api/messages", body)
            assert answer.status == CREATED, answer.body
    finally:
        client.close()


async def _poll(url: str, token: str, pollers: int, interval_s: float, seconds: float) -> None:
    took: list[float] = []
    end = time.monotonic() + seconds
    async with HubClient(url, token) as client:

        async def one(number: int) -> None:
            since = MessageId(0)
            await asyncio.sleep(interval_s * number / pollers)
            while time.monotonic() < end:
                messages = await client.inbox(AgentId(f"bench-{number}"), since=since)
                came_ns = time.monotonic_ns()
                took.extend((came_ns - int(message.body)) / 1e6 for message in messages)
                since = max((message.id for message in messages), default=since)
                await asyncio.sleep(interval_s)

        print(msgspec.json.encode(Started(pollers=pollers)).decode(), flush=True)
        await asyncio.gather(*map(one, range(pollers)))
    print(msgspec.json.encode(Polled(took=tuple(took))).decode(), flush=True)


if __name__ == "__main__":
    _url, _pollers, _interval, _seconds = sys.argv[1:]
    uvloop.run(_poll(_url, os.environ[TOKEN], int(_pollers), float(_interval), float(_seconds)))
