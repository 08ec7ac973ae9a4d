"""Publish → received: how long a message takes through the hub to a client that is pushed to."""

from __future__ import annotations

import asyncio
import shutil
import time

import msgspec

from benchmarks import echo
from benchmarks.connection import Client
from benchmarks.figures import Goal, Round, Section, latencies, row
from benchmarks.hub import SENDER, Running, hub, register
from benchmarks.load import CREATED
from benchmarks.raw_sqlite import BODY, RawSqlite, build
from benchmarks.receiver import Ready, Received, receiver
from benchmarks.stage import Stage
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId

NOTES = (
    "Publisher, hub and receiver are processes of their own; one message each 5 ms.",
    "Received: the `mail` frame came, and the offer is fetched and decoded as the host does it.",
)
DURABLE, NOT_DURABLE, RAW_FETCH, WHOLE_CLIENT = "durable", "not durable", "raw fetch", "client"


async def measure(stage: Stage) -> Section:
    """In each round: the echo, the commit, and every way through a hub, at one pacing."""
    size = stage.size
    raw = await build(stage)
    rounds: list[Round] = []
    async with echo.server(stage) as echoing:
        listening = await echoing.says(echo.Listening)
        for number in range(size.rounds):
            stage.say(f"received: round {number + 1} of {size.rounds}")
            trips = await echo.round_trips(listening.url, size.messages, size.gap_s)
            commit = await raw.paced(size.messages, size.gap_s)
            figures = latencies("echo", trips)
            figures |= {"commit p50": commit.p50, "commit p99": commit.p99}
            figures |= await through(stage, DURABLE)
            figures |= await through(stage, NOT_DURABLE, durable=False)
            figures |= await through(stage, RAW_FETCH, fetch="raw")
            figures |= await through(stage, WHOLE_CLIENT, publish_with_client=True)
            rounds.append(figures)
    return _section(raw, rounds)


def _section(raw: RawSqlite, rounds: list[Round]) -> Section:
    both = ("echo p50", "commit p50")
    floor = f"websocket echo + one {raw.name} commit, same pacing"
    return Section(
        name="received",
        title="Publish → received: a message through the hub to a client on its stream",
        rows=(
            row(
                "publish → received, durable, p50", "durable p50", "µs", rounds,
                beside=both, yardstick=floor, goal=Goal(most=1.8),
            ),
            row(
                "publish → received, durable, p99", "durable p99", "µs", rounds,
                beside=("echo p99", "commit p99"), yardstick=f"{floor}, p99",
            ),
            row(
                "publish → the hint alone, durable, p50", "durable hint p50", "µs", rounds,
                beside=both, yardstick=floor,
            ),
            row("publish → its answer 201, durable, p50", "durable answer p50", "µs", rounds),
            row(
                "the same, fetched over a raw connection, p50", "raw fetch p50", "µs", rounds,
                beside=both, yardstick=floor,
            ),
            row(
                "the same, published with HubClient, p50", "client p50", "µs", rounds,
                beside=both, yardstick=floor,
            ),
            row(
                "publish → received, not durable, p50", "not durable p50", "µs", rounds,
                beside=("echo p50",), yardstick="websocket echo",
            ),
            row("websocket echo, p50", "echo p50", "µs", rounds),
            row(f"one {raw.name} commit, p50", "commit p50", "µs", rounds),
        ),
        notes=NOTES,
        rounds=tuple(rounds),
    )  # fmt: skip


async def through(
    stage: Stage,
    name: str,
    *,
    durable: bool = True,
    fetch: str = "client",
    publish_with_client: bool = False,
) -> dict[str, float]:
    """Publish to a fresh hub and receive; latencies in microseconds under this name."""
    count = stage.size.messages
    async with hub(stage, name, durable=durable) as running:
        await register(running, 0)
        async with receiver(stage, running, count, fetch) as child:
            ready = await child.says(Ready)
            publish = _publish_with_client if publish_with_client else _publish
            sent, answers = await publish(running, ready.agents, stage.size.gap_s)
            received = await child.says(Received)
    shutil.rmtree(stage.folder / name)
    return {
        **latencies(name, _since(sent, received.fetched_ns)),
        **latencies(f"{name} hint", _since(sent, received.hinted_ns)),
        **latencies(f"{name} answer", answers),
    }


def _since(sent_ns: dict[AgentId, int], came_ns: dict[AgentId, int]) -> list[float]:
    return [(came_ns[agent_id] - at) / 1_000 for agent_id, at in sent_ns.items()]


Sent = tuple[dict[AgentId, int], list[float]]
"""When each message was sent, and after how many microseconds it was answered."""


async def _publish(running: Running, agents: tuple[AgentId, ...], gap_s: float) -> Sent:
    """Publish with nothing around: a keep-alive connection, the request written beforehand."""
    sent: dict[AgentId, int] = {}
    answers: list[float] = []
    client = Client(running.url, running.token)
    await client.open()
    try:
        for agent_id in agents:
            body = msgspec.json.encode(_message(agent_id))
            await asyncio.sleep(gap_s)
            sent[agent_id] = time.monotonic_ns()
            answer = await client.ask("POST", "/api/messages", body)
            answers.append((time.monotonic_ns() - sent[agent_id]) / 1_000)
            assert answer.status == CREATED, answer.body
    finally:
        client.close()
    return sent, answers


async def _publish_with_client(running: Running, agents: tuple[AgentId, ...], gap_s: float) -> Sent:
    sent: dict[AgentId, int] = {}
    answers: list[float] = []
    async with HubClient(running.url, running.token) as client:
        for agent_id in agents:
            await asyncio.sleep(gap_s)
            sent[agent_id] = time.monotonic_ns()
            await client.send(_message(agent_id))
            answers.append((time.monotonic_ns() - sent[agent_id]) / 1_000)
    return sent, answers


def _message(agent_id: AgentId) -> SendRequest:
    return SendRequest(to=agent_id, from_=SENDER, body=BODY)
