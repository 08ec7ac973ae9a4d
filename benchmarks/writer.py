"""The hub's writer alone: 64 publishers, each answered after its commit, without HTTP."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figures import Goal, Round, Section, row
from benchmarks.raw_sqlite import BODY, build
from benchmarks.stage import Stage
from relay_core.clock import SystemClock, SystemRandom
from relay_core.hub_api import RegisterRequest, SendRequest
from relay_core.messages import AgentId, Delivery, DeliveryId, Message, MessageId, Sender
from relay_core.sessions import Agent
from relay_hub.local import LocalHub
from relay_hub.service import HubService
from relay_hub.store import Transaction
from relay_hub.store.sqlite import SqliteStore
from relay_hub.store.sqlite.codec import Row, from_agent, from_message, from_new_delivery
from relay_hub.store.sqlite.queries import migrations, queries

PUBLISHERS = 64
MOST_EACH = 900
"""A recipient takes 1,000 messages that wait; each publisher has one of its own and stops here."""

SENDER = AgentId("bench-sender")
EXPIRES_MS = 4_000_000_000_000

Publish = Callable[[AgentId], Awaitable[object]]


async def measure(stage: Stage) -> Section:
    """Run the store's writer, the whole service, and raw batches of 64, in turn."""
    raw = await build(stage)
    rounds: list[Round] = []
    for number in range(stage.size.rounds):
        stage.say(f"writer: round {number + 1} of {stage.size.rounds}")
        bare = await raw.batches(PUBLISHERS, stage.size.seconds)
        same = await raw.batches(
            PUBLISHERS, stage.size.seconds, schema=_schema(), message=_message()
        )
        rounds.append(
            {
                "bare": bare.per_second,
                "same": same.per_second,
                "store": await _rate(stage, whole_service=False),
                "service": await _rate(stage, whole_service=True),
            }
        )
    plain = f"{raw.name}, batches of 64, two bare tables"
    equal = f"{raw.name}, batches of 64, the hub's own tables and statements"
    return Section(
        name="writer",
        title="The writer alone, 64 publishers, synchronous=FULL",
        rows=(
            row(
                "store: message and delivery", "store", "/s", rounds,
                beside=("same",), yardstick=equal, goal=Goal(least=0.6),
            ),
            row(
                "the same beside two bare tables", "store", "/s", rounds,
                beside=("bare",), yardstick=plain,
            ),
            row(
                "service: checks, target, limits as well", "service", "/s", rounds,
                beside=("same",), yardstick=equal,
            ),
        ),
        notes=(
            "The goal is for the same work in C; each message of a batch is for another recipient.",
            "Between the two yardsticks lies what the hub's columns, keys and indexes cost.",
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


async def _rate(stage: Stage, *, whole_service: bool) -> float:
    folder = stage.folder / "writer"
    with ThreadPoolExecutor(1) as executor:
        store = SqliteStore.open(folder / "hub.sqlite", executor=executor, store_id="bench")
        service = await HubService.open(store, clock=SystemClock(), random=SystemRandom())
        hub = LocalHub(service)
        publish = _through_service(hub) if whole_service else _through_store(store)
        try:
            await _register(hub)
            return await _closed_loop(publish, stage.size.seconds)
        finally:
            await store.close()
            shutil.rmtree(folder)


async def _register(hub: LocalHub) -> None:
    requests = [RegisterRequest(id=SENDER)]
    requests += [RegisterRequest(id=_recipient(publisher)) for publisher in range(PUBLISHERS)]
    await asyncio.gather(*(hub.register(request) for request in requests))


def _recipient(publisher: int) -> AgentId:
    return AgentId(f"bench-{publisher}")


async def _closed_loop(publish: Publish, seconds: float) -> float:
    """Let each publisher send its next message when the last one is committed; messages/s."""
    start = time.perf_counter()
    end = start + seconds

    async def one(publisher: int) -> int:
        sent = 0
        while sent < MOST_EACH and time.perf_counter() < end:
            await publish(_recipient(publisher))
            sent += 1
        return sent

    counts = await asyncio.gather(*map(one, range(PUBLISHERS)))
    return sum(counts) / (time.perf_counter() - start)


def _through_service(hub: LocalHub) -> Publish:
    async def publish(recipient: AgentId) -> None:
        await hub.send(SendRequest(to=recipient, from_=SENDER, body=BODY))

    return publish


def _through_store(store: SqliteStore) -> Publish:
    async def publish(recipient: AgentId) -> None:
        async def unit(tx: Transaction) -> None:
            seq = await tx.next_seq(recipient)
            message_id = await tx.add_message(_example(recipient))
            await tx.add_delivery(_delivery(message_id, recipient, seq))

        await store.write(unit)

    return publish


def _example(recipient: AgentId) -> Message:
    return Message(
        id=MessageId(0),
        from_=SENDER,
        to=recipient,
        body=BODY,
        sender=Sender(id=SENDER),
        created_at=1,
        expires_at=EXPIRES_MS,
    )


def _delivery(message_id: MessageId, recipient: AgentId, seq: int) -> Delivery:
    return Delivery(
        id=DeliveryId(0),
        message_id=message_id,
        agent_id=recipient,
        seq=seq,
        expires_ms=EXPIRES_MS,
        created_ms=1,
        updated_ms=1,
    )


# The same for the yardstick ------------------------------------------------------------------


def _schema() -> str:
    """The hub's tables, with as many recipients as the hub has."""
    agents = [
        _written(queries()["put_agent"], from_agent(_agent(_recipient(publisher))))
        for publisher in range(PUBLISHERS)
    ]
    return ";\n".join(["PRAGMA foreign_keys = ON", *migrations(), "BEGIN", *agents, "COMMIT"]) + ";"


def _agent(agent_id: AgentId) -> Agent:
    return Agent(id=agent_id, created_at=1)


def _message() -> Sequence[str]:
    """What the store does for one message, with the values written out."""
    sql, recipient = queries(), f"('bench-' || (:n % {PUBLISHERS}))"
    delivery = from_new_delivery(_delivery(MessageId(0), AgentId(""), 0))
    values = ["last_insert_rowid()", recipient, ":n", *map(_literal, delivery[3:])]
    return (
        sql["take_seq"].replace("?", recipient),
        sql["last_seq"].replace("?", recipient),
        _written(sql["add_message"], from_message(_example(_recipient(0)))),
        _filled(sql["add_delivery"], values),
    )


def _written(statement: str, values: Row) -> str:
    return _filled(statement, [_literal(value) for value in values])


def _filled(statement: str, values: Sequence[str]) -> str:
    first, *rest = statement.split("?")
    return first + "".join(value + text for value, text in zip(values, rest, strict=True))


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"x'{value.hex()}'"
        case bool() | int():
            return str(int(value))
        case _:
            return "'" + str(value).replace("'", "''") + "'"
