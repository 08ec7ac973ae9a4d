"""Time goes on whatever happens to the store."""

import asyncio
import logging

import pytest

from hub_kit import Hub
from relay_core.errors import HubRefused
from relay_core.messages import DeliveryState
from relay_hub.store import StoreFailed, StoreFull


class Turns:
    """A clock whose sleeps wait for the test."""

    def __init__(self, clock) -> None:
        self.now_ms, self.monotonic = clock.now_ms, clock.monotonic
        self.slept = asyncio.Event()
        self.go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.set()
        await self.go.wait()
        self.go.clear()

    async def turn(self) -> None:
        self.slept.clear()
        self.go.set()
        async with asyncio.timeout(10):
            await self.slept.wait()


async def test_a_sweep_that_finds_no_room_is_made_up_for_later(hub: Hub, caplog):
    caplog.set_level(logging.WARNING)
    await hub.register("a")
    sent = await hub.send("a", ttlMs=1_000)
    hub.service.clock = turns = Turns(hub.clock)
    running = asyncio.create_task(hub.service.run())
    real = hub.service.store.write

    async def full(unit):
        raise StoreFull("no room")

    hub.service.store.write = full
    hub.clock.ms += 2_000
    await turns.turn()
    during = (await hub.delivery(sent.id, "a")).state
    hub.service.store.write = real
    await turns.turn()
    after = (await hub.delivery(sent.id, "a")).state
    running.cancel()

    assert (during, after) == (DeliveryState.QUEUED, DeliveryState.EXPIRED)
    assert "no room" in caplog.text


async def test_a_store_that_has_failed_for_good_ends_the_hub(hub: Hub):
    async def failed(unit):
        raise StoreFailed("disk I/O error")

    real = hub.service.store.read
    hub.service.store.read = failed
    with pytest.raises(HubRefused, match="disk I/O error"):
        await asyncio.wait_for(hub.service.run(), 10)
    hub.service.store.read = real


async def test_leases_that_could_not_be_started_anew_do_not_lapse_early(hub: Hub):
    from relay_core.messages import MessageId
    from relay_hub.callers import USER

    await hub.register("a")
    sent = await hub.send("a", claimable=True)
    await hub.service.claims.take(MessageId(sent.id), hub.claiming("a"), USER)
    real = hub.service.store.write

    async def full(unit):
        raise StoreFull("no room")

    hub.clock.wall_offset_ms = 3_600_000
    hub.service.store.write = full
    with pytest.raises(HubRefused):
        await hub.wait(1)
    hub.service.store.write = real
    await hub.wait(1)

    assert (await hub.delivery(sent.id, "a")).state is DeliveryState.LEASED


async def test_many_that_are_due_at_once_are_all_ended(hub: Hub):
    await hub.register("a")
    ids = [(await hub.send("a", ttlMs=1_000)).id for _ in range(700)]
    await hub.wait(2)
    await hub.wait(1)

    states = {(await hub.delivery(each, "a")).state for each in ids}
    assert states == {DeliveryState.EXPIRED}
