"""Storms over the whole system on a virtual clock, each from a seed, on every processor."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from history import Killed
from history_checker import violations
from proof.part import PartResult
from relay_core import Struct
from storm import STEPS, storm

SAID_EVERY_S = 30.0
FIRST_SEED = "AGENT_RELAY_TEST_FIRST_SEED"
REPLAY = "pytest tests/simulation/test_storms.py -k loses --storms 1 --first-storm {}"


class Weathered(Struct):
    """What one storm came to."""

    seed: int
    broken: tuple[str, ...]
    kills: int
    places: frozenset[str]


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Go through storms, one seed after the other, until the time is over."""
    until = time.monotonic() + seconds
    first = int(os.environ.get(FIRST_SEED, "0"))
    with ProcessPoolExecutor(initializer=_be_quiet) as processes:
        done = list(_as_they_end(processes, first, until, say))
    places = {place for each in done for place in each.places}
    return PartResult(
        name="simulation",
        reached={
            "seeds": len(done),
            "steps each": STEPS,
            "first seed": first,
            "kills": sum(each.kills for each in done),
            "places of a kill": len(places),
        },
        failures=tuple(
            f"seed {each.seed}: {each.broken[0]} — replay: {REPLAY.format(each.seed)}"
            for each in done
            if each.broken
        ),
    )


def _as_they_end(
    processes: ProcessPoolExecutor, seed: int, until: float, say: Callable[[str], None]
) -> Iterator[Weathered]:
    """Keep every process busy, and no more: what has begun when the time is over still counts."""
    running: set[Future[Weathered]] = set()
    spoken, number = time.monotonic(), 0
    while running or time.monotonic() < until:
        while len(running) < 2 * (os.cpu_count() or 1) and time.monotonic() < until:
            running.add(processes.submit(weather, seed))
            seed += 1
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for each in ended:
            number += 1
            yield each.result()
        if time.monotonic() - spoken > SAID_EVERY_S:
            spoken = time.monotonic()
            say(f"{number} seeds so far")


def weather(seed: int) -> Weathered:
    """Go through one storm; an error of the storm itself breaks it, too."""
    try:
        history = storm(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, this seed is to be looked at
        broken = (f"{type(error).__name__}: {error}",)
        return Weathered(seed=seed, broken=broken, kills=0, places=frozenset())
    kills = [each for each in history if isinstance(each, Killed)]
    return Weathered(
        seed=seed,
        broken=tuple(violations(history)),
        kills=len(kills),
        places=frozenset(each.where for each in kills),
    )


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)  # faults are what a storm is made of
