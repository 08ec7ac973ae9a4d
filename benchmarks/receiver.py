"""Who receives: a websocket stream that serves agents, and fetches when the hub hints at mail.

``python -m benchmarks.receiver URL COUNT client|raw`` is that process. It serves COUNT agents.
Round after round it says that it is ready, takes one message for each, says when each hint and each
message came, and marks them read. With `client` it fetches as the host does, through the relay's
own client; with `raw` over a connection with nothing around it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import uvloop

from benchmarks.child import Child
from benchmarks.connection import Client
from benchmarks.hub import Running
from benchmarks.load import TOKEN
from benchmarks.stage import Stage
from relay_core import Struct
from relay_core.hub_api import (
    Fence,
    MailFrame,
    MessagePatch,
    OfferList,
    RegisterRequest,
    Served,
)
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, MessageId, Offer
from relay_core.ports import HubStream

OK = 200

Fetch = Callable[[Fence], Awaitable[tuple[Offer, ...]]]


class Ready(Struct):
    """The first line of a round: who is served now."""

    agents: tuple[AgentId, ...]


class Received(Struct):
    """The second line of a round: monotonic nanoseconds by recipient."""

    hinted_ns: dict[AgentId, int]
    fetched_ns: dict[AgentId, int]


def receiver(stage: Stage, running: Running, count: int, how: str) -> Child:
    """The receiver's process, not yet started."""
    program = ("-m", "benchmarks.receiver", running.url, str(count), how)
    environ = {**stage.environ, TOKEN: running.token}
    return Child(program, environ=environ, log=stage.folder / "receiver.log")


async def _receive(url: str, token: str, count: int, how: str) -> None:
    async with HubClient(url, token) as client, _fetching(client, url, token, how) as fetch:
        served = [await _registered(client, how, number) for number in range(count)]
        stream = await client.open_stream()
        try:
            await stream.serve(tuple(served))
            await fetch(_fence(served[0]))
            while True:
                _tell(Ready(agents=tuple(each.id for each in served)))
                received, messages = await _take(stream, fetch, {each.id: each for each in served})
                _tell(received)
                await _mark_read(url, token, messages)
        finally:
            await stream.close()


async def _registered(client: HubClient, how: str, number: int) -> Served:
    agent_id = AgentId(f"{how}-{number}")
    agent = await client.register(RegisterRequest(id=agent_id, instance_id="receiver"))
    return Served(id=agent_id, instance_id="receiver", epoch=agent.epoch)


async def _take(
    stream: HubStream, fetch: Fetch, served: dict[AgentId, Served]
) -> tuple[Received, dict[AgentId, MessageId]]:
    hinted: dict[AgentId, int] = {}
    fetched: dict[AgentId, int] = {}
    messages: dict[AgentId, MessageId] = {}
    async for frame in stream.frames():
        if not isinstance(frame, MailFrame) or frame.agent_id in hinted:
            continue
        hinted[frame.agent_id] = time.monotonic_ns()
        offers = await fetch(_fence(served[frame.agent_id]))
        fetched[frame.agent_id] = time.monotonic_ns()
        (offer,) = offers
        messages[frame.agent_id] = offer.message.id
        if len(fetched) == len(served):
            break
    return Received(hinted_ns=hinted, fetched_ns=fetched), messages


async def _mark_read(url: str, token: str, messages: dict[AgentId, MessageId]) -> None:
    raw = Client(url, token)
    await raw.open()
    for agent_id, message_id in messages.items():
        body = msgspec.json.encode(MessagePatch(read_by=agent_id))
        answer = await raw.ask("PATCH", f"/api/messages/{message_id}", body)
        assert answer.status == OK, answer.body
    raw.close()


def _fence(served: Served) -> Fence:
    return Fence(agent_id=served.id, instance_id=served.instance_id, epoch=served.epoch)


@asynccontextmanager
async def _fetching(client: HubClient, url: str, token: str, how: str) -> AsyncGenerator[Fetch]:
    if how == "client":

        async def ask(fence: Fence) -> tuple[Offer, ...]:
            return (await client.offers(fence)).offers

        yield ask
        return
    raw = Client(url, token)
    await raw.open()

    async def fetch(fence: Fence) -> tuple[Offer, ...]:
        answer = await raw.ask("GET", f"/api/agents/{fence.agent_id}/deliveries")
        return msgspec.json.decode(answer.body, type=OfferList).offers

    try:
        yield fetch
    finally:
        raw.close()


def _tell(what: Struct) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


if __name__ == "__main__":
    _url, _count, _how = sys.argv[1:]
    uvloop.run(_receive(_url, os.environ[TOKEN], int(_count), _how))
