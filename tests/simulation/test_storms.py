"""Storms over the whole system, each replayable from its seed; none of them breaks the promise.

`--storms N` runs so many, from `--first-storm K` on; `python -m proof --only simulation` runs as
many as its time allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from history import Accepted, AnyEvent, Killed, Registered, Stood, read, write
from history_checker import violations
from relay_core.attempting import Attempts
from relay_core.delivery import IN_DOUBT
from relay_core.hub_api import OfferList
from relay_core.messages import Attempt, Offer
from relay_core.ports import Evidence, Found
from relay_core.sidecar import Sidecar
from relay_hub.service import checks, committer
from storm import STEPS, storm

IMPATIENT_S = 900.0
"""What a weaker design loses it does not find later either."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--first-storm")
        metafunc.parametrize("seed", range(first, first + metafunc.config.getoption("--storms")))


def test_a_storm_loses_nothing_doubles_nothing_and_keeps_the_order(seed: int):
    assert violations(storm(seed, STEPS)) == []


def test_the_same_seed_makes_the_same_storm():
    assert storm(7, STEPS) == storm(7, STEPS)


def test_a_history_is_read_as_it_was_written(tmp_path):
    history = storm(8, 50)
    write(history, tmp_path / "history.jsonl")

    assert read(tmp_path / "history.jsonl") == history


def test_storms_reach_what_they_are_for():
    histories = [storm(seed, STEPS) for seed in range(8)]
    events = [event for history in histories for event in history]
    where = {each.where for each in events if isinstance(each, Killed)}
    stood = {(each.state, each.reason) for each in events if isinstance(each, Stood)}
    epochs = max(each.epoch for each in events if isinstance(each, Registered))

    assert {"before offers", "after offers", "a sleep", "anywhere"} <= where
    assert {"record_attempt", "inject", "find", "register"} <= {each.split()[-1] for each in where}
    assert {"delivered", "skipped", "cancelled", "expired"} <= {state for state, _ in stood}
    assert epochs > 10
    assert sum(isinstance(each, Accepted) for each in events) > 300


# --- weaker designs, which the same storms find out ----------------------------------------------


async def believe_the_agent(_: Attempts, __: Attempt) -> Evidence:
    return Found()


async def forget_what_was_tried(attempts: Attempts, offers: Sequence[Offer]) -> bool | None:
    doubtful = {offer.attempt.id: offer.attempt for offer in offers if _in_doubt(offer)}
    for attempt in doubtful.values():
        await attempts._settle(attempt, attempts._seat.outcome("absent"))
    return None if doubtful else False


def _in_doubt(offer: Offer) -> bool:
    return offer.delivery.state in IN_DOUBT


look = Sidecar._look


async def begin_with_the_latest(sidecar: Sidecar) -> OfferList:
    """Keep the cursor of a client that, begun anew, goes on with what comes from now on."""
    found = await look(sidecar)
    newest = max((offer.message.id for offer in found.offers), default=0)
    if not hasattr(sidecar, "cursor"):
        sidecar.cursor = newest  # type: ignore[attr-defined]
    later = tuple(each for each in found.offers if each.message.id > sidecar.cursor)  # type: ignore[attr-defined]
    return OfferList(offers=later, claims=found.claims)


def let_everybody_act(agent, name, instance_id, epoch, *, required):
    """Ask nobody for the newest epoch."""
    return agent


async def remember_no_answer(tx, request, kind, work, now_ms):
    """Do the work again, whatever the key."""
    return await work()


WEAKER: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "who believes the agent's answer": (Attempts, "_find", believe_the_agent, "I2"),
    "who tries again without looking": (Attempts, "resolve", forget_what_was_tried, "I2"),
    "who begins with the latest": (Sidecar, "_look", begin_with_the_latest, "I11"),
    "who checks no epoch": (checks, "fence", let_everybody_act, "I5"),
    "who remembers no key": (committer, "answer_once", remember_no_answer, "I2"),
}


@pytest.mark.parametrize("who", WEAKER)
def test_a_weaker_design_is_found_out(who: str, monkeypatch: pytest.MonkeyPatch):
    place, name, weaker, complaint = WEAKER[who]
    monkeypatch.setattr(place, name, weaker)

    def found(history: tuple[AnyEvent, ...]) -> bool:
        return any(line.startswith(complaint) for line in violations(history))

    assert any(found(storm(seed, STEPS, patience_s=IMPATIENT_S)) for seed in range(6))
