"""Publish → received: how long a message takes through the hub to a client that is pushed to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from benchmarks import echo
from benchmarks.child import Child
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

GOAL = Goal(most=1.8)
NOTES = (
    "Publisher, hub and receiver are processes of their own; one message each 5 ms.",
    "Received: the `mail` frame came, and the offer is fetched and decoded.",
    "The host fetches with HubClient, which is httpx: the difference of the rows is its share.",
)

Send = Callable[[SendRequest], Awaitable[None]]


async def measure(stage: Stage) -> Section:
    """In each round: the echo, the commit, and every way through a hub, at one pacing."""
    size = stage.size
    raw = await build(stage)
    rounds: list[Round] = []
    async with AsyncExitStack() as stack:
        echoing = await stack.enter_async_context(echo.server(stage))
        listening = await echoing.says(echo.Listening)
        durable = await stack.enter_async_context(hub(stage, "durable hub"))
        loose = await stack.enter_async_context(hub(stage, "loose hub", durable=False))
        client = await stack.enter_async_context(way(stage, durable, "client"))
        lean = await stack.enter_async_context(way(stage, durable, "raw"))
        not_durable = await stack.enter_async_context(way(stage, loose, "raw"))
        for number in range(size.short_rounds):
            stage.say(f"received: round {number + 1} of {size.short_rounds}")
            trips = await echo.round_trips(listening.url, size.messages, size.gap_s)
            commit = await raw.paced(size.messages, size.gap_s)
            figures = latencies("echo", trips)
            figures |= {"commit p50": commit.p50, "commit p99": commit.p99}
            figures |= await lean.through("raw")
            figures |= await client.through("client")
            figures |= await not_durable.through("not durable")
            figures |= await client.through("both", publish_with_client=True)
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
                "publish → received, durable, p50", "raw p50", "µs", rounds,
                beside=both, yardstick=floor, goal=GOAL,
            ),
            row(
                "publish → received, durable, p99", "raw p99", "µs", rounds,
                beside=("echo p99", "commit p99"), yardstick=f"{floor}, p99",
            ),
            row(
                "publish → the hint alone, durable, p50", "raw hint p50", "µs", rounds,
                beside=both, yardstick=floor,
            ),
            row("publish → its answer 201, durable, p50", "raw answer p50", "µs", rounds),
            row(
                "publish → received as the host does (HubClient), p50", "client p50", "µs", rounds,
                beside=both, yardstick=floor, goal=GOAL,
            ),
            row(
                "the same, published with HubClient as well, p50", "both p50", "µs", rounds,
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


class Way:
    """A hub and a receiver on it, ready for one message for each agent that it serves."""

    def __init__(self, running: Running, child: Child, gap_s: float) -> None:
        self._running = running
        self._child = child
        self._gap_s = gap_s
        self._agents: tuple[AgentId, ...] = ()

    async def get_ready(self) -> None:
        """Wait until the receiver serves its agents and nothing waits for them."""
        self._agents = (await self._child.says(Ready)).agents

    async def through(self, name: str, *, publish_with_client: bool = False) -> dict[str, float]:
        """Publish a round of messages; latencies in microseconds under this name."""
        publisher = _with_client if publish_with_client else _with_nothing_around
        async with publisher(self._running) as send:
            sent, answers = await self._publish(send)
        received = await self._child.says(Received)
        await self.get_ready()
        return {
            **latencies(name, _since(sent, received.fetched_ns)),
            **latencies(f"{name} hint", _since(sent, received.hinted_ns)),
            **latencies(f"{name} answer", answers),
        }

    async def _publish(self, send: Send) -> tuple[dict[AgentId, int], list[float]]:
        """Send one message each; when each was sent, and after how long it was answered."""
        sent: dict[AgentId, int] = {}
        answers: list[float] = []
        for agent_id in self._agents:
            await asyncio.sleep(self._gap_s)
            request = SendRequest(to=agent_id, from_=SENDER, body=BODY)
            sent[agent_id] = time.monotonic_ns()
            await send(request)
            answers.append((time.monotonic_ns() - sent[agent_id]) / 1_000)
        return sent, answers


@asynccontextmanager
async def way(stage: Stage, running: Running, how: str) -> AsyncGenerator[Way]:
    """Start a receiver on a hub; `how` it fetches: `client` or `raw`."""
    await register(running, 0)
    async with receiver(stage, running, stage.size.messages, how) as child:
        opened = Way(running, child, stage.size.gap_s)
        await opened.get_ready()
        yield opened


@asynccontextmanager
async def _with_nothing_around(running: Running) -> AsyncGenerator[Send]:
    client = Client(running.url, running.token)
    await client.open()

    async def send(request: SendRequest) -> None:
        answer = await client.ask("POST", "/api/messages", msgspec.json.encode(request))
        assert answer.status == CREATED, answer.body

    try:
        yield send
    finally:
        client.close()


@asynccontextmanager
async def _with_client(running: Running) -> AsyncGenerator[Send]:
    async with HubClient(running.url, running.token) as client:

        async def send(request: SendRequest) -> None:
            await client.send(request)

        yield send


def _since(sent_ns: dict[AgentId, int], came_ns: dict[AgentId, int]) -> list[float]:
    return [(came_ns[agent_id] - at) / 1_000 for agent_id, at in sent_ns.items()]
