"""A hundred storms, each replayable from its seed, and none of them breaks the promise."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay_core.attempting import Attempts
from relay_core.delivery import IN_DOUBT
from relay_core.discovery import check, new_manager
from relay_core.hooks import Hooks
from relay_core.messages import OPERATOR, Attempt, Offer
from relay_core.ports import Clock, Evidence, Found, Random
from relay_core.workers import run_inline
from relay_hub.callers import USER
from relay_hub.limits import Limits
from relay_hub.local import LocalHub
from relay_hub.service import HubService
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore
from relay_plugins import attention, channels, claims, delivery, prompt
from simulated_world import SENDERS, World, simulate

SEEDS = 100
BUILT_IN = {
    "relay.attention": attention,
    "relay.channels": channels,
    "relay.claims": claims,
    "relay.delivery": delivery,
    "relay.prompt": prompt,
}


def built_in_hooks() -> Hooks:
    manager = new_manager()
    for name, plugin in BUILT_IN.items():
        check(plugin, name)
        manager.register(plugin, name)
    return Hooks(manager, strict=True, runner=run_inline)


class HubOfTheWorld(LocalHub):
    """The service, with what the world asks of it beyond the port."""

    def __init__(self, service: HubService) -> None:
        super().__init__(service, USER)
        self.message = lambda message_id: service.messages.one(message_id, USER)


@asynccontextmanager
async def make_hub(path: Path, clock: Clock, random: Random) -> AsyncIterator[HubOfTheWorld]:
    store = SqliteStore.in_memory(executor=InlineExecutor(), store_id=path.stem)
    limits = Limits(sends_per_minute=10_000, free_bytes=0)
    service = await HubService.open(store, clock=clock, random=random, limits=limits)
    sweeping = asyncio.create_task(service.run())
    try:
        yield HubOfTheWorld(service)
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await store.close()


def run(seed: int, folder: Path) -> World:
    return simulate(seed, folder, make_hub, built_in_hooks())


@pytest.mark.parametrize("tens", range(SEEDS // 10))
def test_ten_storms_lose_nothing_double_nothing_and_keep_the_order(tens: int, tmp_path: Path):
    broken = {
        world.seed: problems
        for world in (run(seed, tmp_path) for seed in range(tens * 10, tens * 10 + 10))
        if (problems := world.problems())
    }

    assert broken == {}


def test_the_same_seed_makes_the_same_storm(tmp_path: Path):
    first, second = run(7, tmp_path), run(7, tmp_path)

    assert first.sent == second.sent
    assert first.deliveries == second.deliveries
    assert first.counts == second.counts


def test_the_storms_reach_what_they_are_for(tmp_path: Path):
    seen: set[str] = set()
    for seed in range(10):
        world = run(seed, tmp_path)
        seen |= set(world.counts)
        assert {sender for sender, *_ in world.sent} == set(SENDERS)

    assert OPERATOR in SENDERS
    assert {"host killed", "killed at attempt_recorded", "killed at evidence_seen"} <= seen


async def believe_the_agent(_: Attempts, __: Attempt) -> Evidence:
    return Found()


async def forget_what_was_tried(attempts: Attempts, offers: Sequence[Offer]) -> bool | None:
    doubtful = {offer.attempt.id: offer.attempt for offer in offers if in_doubt(offer)}
    for attempt in doubtful.values():
        await attempts._settle(attempt, attempts._seat.outcome("absent"))
    return None if doubtful else False


def in_doubt(offer: Offer) -> bool:
    return offer.delivery.state in IN_DOUBT


@pytest.mark.parametrize(
    ("part", "shortcut", "complaint"),
    [
        ("_find", believe_the_agent, "stands 0 times"),
        ("resolve", forget_what_was_tried, "times in its thread"),
    ],
)
def test_a_sidecar_that_does_not_look_is_found_out(
    part: str, shortcut: object, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Attempts, part, shortcut)

    problems = [line for seed in range(6) for line in run(seed, tmp_path).problems()]

    assert [line for line in problems if complaint in line]
