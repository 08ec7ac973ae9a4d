"""What is finished is forgotten after a while, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection

import pytest

from hub_kit import HandClock, Hub, file_hub, memory_hub
from relay_core.errors import HubRefused
from relay_core.messages import AttemptId, MessageId
from relay_hub.callers import USER
from relay_hub.limits import DAY, Limits
from relay_hub.service import HubService
from relay_hub.service.sweeping import MOST_PRUNED
from relay_hub.store.sqlite import SqliteStore

DAY_S = DAY // 1_000
TABLES = (
    "messages",
    "deliveries",
    "transitions",
    "attempts",
    "attempt_deliveries",
    "claims",
    "claim_events",
    "annotations",
)


async def deliver(hub: Hub, *message_ids: int) -> str:
    ids = [(await hub.delivery(each, "a")).id for each in message_ids]
    attempt = await hub.inject("a", *ids)
    await hub.resolve("a", attempt.id, "delivered")
    return attempt.id


async def is_there(hub: Hub, message_id: int) -> bool:
    found = await hub.service.store.read(lambda reads: reads.message(MessageId(message_id)))
    return found is not None


def connection(hub: Hub) -> Connection:
    store = hub.service.store
    assert isinstance(store, SqliteStore)
    return store._writer


def rows(hub: Hub) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in TABLES:
        query = f"SELECT count(*) FROM {name}"  # noqa: S608 - the names above
        counted[name] = connection(hub).execute(query).fetchone()[0]
    return counted


async def test_a_delivered_message_is_forgotten_with_all_that_belongs_to_it(hub: Hub):
    await hub.register("a")
    sent = await hub.send("a", claimable=True)
    await hub.service.claims.take(sent.id, hub.claiming("a"), USER)
    await deliver(hub, sent.id)
    await hub.service.claims.complete(sent.id, hub.claiming("a"), USER)
    await hub.wait(29 * DAY_S)
    before = await is_there(hub, sent.id)
    await hub.wait(2 * DAY_S)

    assert before
    assert rows(hub) == dict.fromkeys(TABLES, 0)


async def test_ids_are_never_given_again(hub: Hub):
    await hub.register("a")
    first = await hub.send("a")
    await hub.wait(8 * DAY_S)  # it expires
    await hub.wait(40 * DAY_S)
    gone = not await is_there(hub, first.id)
    latest = await hub.service.messages.latest_id()
    second = await hub.send("a")

    assert gone
    assert latest == first.id
    assert second.id > first.id
    assert second.deliveries[0].id > first.deliveries[0].id


async def test_age_counts_from_the_last_that_happened():
    hub = await memory_hub(Limits(keep_ms=2 * DAY))
    await hub.register("a")
    sent = await hub.send("a")
    await hub.wait(3 * DAY_S)
    await deliver(hub, sent.id)
    await hub.wait(DAY_S)
    after_one = await is_there(hub, sent.id)
    await hub.wait(2 * DAY_S)

    assert after_one
    assert not await is_there(hub, sent.id)
    await hub.close()


async def test_what_is_open_is_never_forgotten():
    hub = await memory_hub(Limits(keep_ms=DAY, ttl_ms=30 * DAY))
    await hub.register("a")
    waiting = (await hub.send("a")).id
    doubted = (await hub.send("a")).id
    await hub.inject("a", (await hub.delivery(doubted, "a")).id)
    for _ in range(3):
        await hub.wait(5 * DAY_S)

    assert await is_there(hub, waiting)
    assert await is_there(hub, doubted)
    await hub.close()


async def test_what_somebody_works_on_is_never_forgotten():
    hub = await memory_hub(Limits(keep_ms=DAY, claim_lease_ms=30 * DAY))
    await hub.register("a")
    root = (await hub.send("a", claimable=True)).id
    reply = (await hub.send("a", claimable=True, replyTo=root)).id
    for each in (root, reply):
        await hub.service.claims.take(each, hub.claiming("a"), USER)
        await deliver(hub, each)
    await hub.service.claims.complete(root, hub.claiming("a"), USER)
    await hub.wait(5 * DAY_S)
    worked_on = [await is_there(hub, each) for each in (root, reply)]
    await hub.service.claims.complete(reply, hub.claiming("a"), USER)
    await hub.wait(60)

    assert worked_on == [True, True]
    assert not await is_there(hub, root)
    await hub.close()


async def test_a_conversation_goes_as_a_whole(hub: Hub):
    await hub.register("a")
    root = (await hub.send("a")).id
    await deliver(hub, root)
    await hub.wait(29 * DAY_S)
    reply = (await hub.send("a", replyTo=root)).id
    last = (await hub.send("a", replyTo=reply)).id
    await deliver(hub, reply)
    await deliver(hub, last)
    await hub.wait(5 * DAY_S)
    thread = await hub.service.messages.thread(MessageId(last), MessageId(0), 100, USER)
    await hub.wait(26 * DAY_S)

    assert [(each.id, each.reply_to) for each in thread] == [
        (root, None),
        (reply, root),
        (last, reply),
    ]
    assert rows(hub) == dict.fromkeys(TABLES, 0)


async def test_an_attempt_stays_as_long_as_a_message_that_it_carried():
    hub = await memory_hub(Limits(keep_ms=2 * DAY))
    await hub.register("a")
    first, second = (await hub.send("a")).id, (await hub.send("a")).id
    attempt = await deliver(hub, first, second)
    await hub.wait(DAY_S)
    await hub.send("a", replyTo=second)
    await hub.wait(DAY_S + 60)
    found = await hub.service.store.read(lambda reads: reads.attempt(AttemptId(attempt)))

    assert not await is_there(hub, first)
    assert found is not None
    assert found.delivery_ids == ((await hub.delivery(second, "a")).id,)
    assert connection(hub).execute("PRAGMA foreign_key_check").fetchall() == []
    await hub.close()


async def test_a_lot_that_is_old_goes_a_little_at_a_time():
    hub = await memory_hub(Limits(keep_ms=DAY, ttl_ms=1_000, recipient_queue=10_000))
    await hub.register("a")
    root = (await hub.send("a")).id
    for number in range(2 * MOST_PRUNED):
        await hub.send("a", replyTo=root if number % 2 else None)
    total = rows(hub)["messages"]
    await hub.wait(2)
    left: list[int] = []
    await hub.wait(2 * DAY_S)
    left.append(rows(hub)["messages"])
    for _ in range(2):
        await hub.wait(1)
        left.append(rows(hub)["messages"])

    assert left == [total - MOST_PRUNED, total - 2 * MOST_PRUNED, 0]
    await hub.close()


async def test_a_clock_that_jumps_ahead_makes_nothing_old_at_once(hub: Hub):
    await hub.register("a")
    sent = (await hub.send("a")).id
    await deliver(hub, sent)
    hub.clock.wall_offset_ms = 365 * DAY
    await hub.wait(1)
    await hub.wait(600)
    during = await is_there(hub, sent)
    hub.clock.wall_offset_ms = 0
    await hub.wait(1)
    await hub.wait(7_200)

    assert during
    assert await is_there(hub, sent)


async def test_room_that_was_freed_is_taken_again(tmp_path: Path):
    limits = Limits(keep_ms=DAY, store_bytes=3_000_000, free_bytes=0)
    with ThreadPoolExecutor(max_workers=1) as writer:
        clock = HandClock()
        first = await file_hub(tmp_path / "hub.sqlite", writer, clock)
        service = await HubService.open(
            first.service.store, clock=clock, random=_Unused(), limits=limits
        )
        hub = Hub(service, clock)
        await hub.register("a")
        for _ in range(40):
            await deliver(hub, (await hub.send("a", "x" * 100_000)).id)
        await hub.wait(1)
        with pytest.raises(HubRefused) as full:
            await hub.send("a")
        await hub.wait(2 * DAY_S)
        await hub.wait(1)
        await hub.send("a")
        await hub.close()

    assert (full.value.status, full.value.code) == (503, "storage")
    assert full.value.fix is not None
    assert "store_bytes" in full.value.fix
    assert "keep" in full.value.fix


class _Unused:
    def random(self) -> float:
        return 0.5

    def token_hex(self, count: int) -> str:
        return "00" * count


@pytest.mark.parametrize("name", ["finished", "prune"])
async def test_what_it_costs_does_not_grow_with_what_is_kept(name: str):
    assert await _steps(name, kept=600) < 1.5 * await _steps(name, kept=60)


async def _steps(name: str, kept: int) -> int:
    """How many steps SQLite takes to find or to forget one message among so many."""
    hub = await memory_hub(Limits(recipient_queue=10_000))
    await hub.register("a")
    old = (await hub.send("a")).id
    await deliver(hub, old)
    await hub.wait(DAY_S)
    before_ms = hub.clock.now_ms()
    root = (await hub.send("a")).id
    for _ in range(kept):
        await deliver(hub, (await hub.send("a", replyTo=root)).id)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection(hub).set_progress_handler(step, 1)
    if name == "finished":
        found = await hub.service.store.read(lambda reads: reads.finished(before_ms, 10))
        assert found == (old,)
    else:
        assert await hub.service.store.write(lambda tx: tx.prune(MessageId(old), 10)) == 1
    connection(hub).set_progress_handler(None, 1)
    await hub.close()
    return steps
