"""Requests that the hub's own description allows or nearly allows, as many as the time allows."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from api_fuzz import Fuzzed, fuzz
from hub_surface import Surface, surface_in_a_thread
from proof.part import PartResult
from proof.run_tests import run_tests

EXAMPLES = 20
"""Requests of each kind for each route in one round; a round takes less than a minute."""
CORPUS = ("tests/hub/test_bad_inputs.py", "tests/hub/test_every_route.py")
FIRST_SEED = "AGENT_RELAY_TEST_FIRST_SEED"


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Go through the corpora once, then ask in rounds, each from a seed, until the time is over."""
    until = time.monotonic() + seconds
    corpus = run_tests(CORPUS, seconds)
    seed = int(os.environ.get(FIRST_SEED, "0"))
    requests, rounds, broken = 0, 0, list[str]()
    with (
        tempfile.TemporaryDirectory() as folder,
        surface_in_a_thread(Path(folder)) as surface,
    ):
        while time.monotonic() < until:
            fuzzed = _round(surface, seed + rounds, until)
            requests, rounds = requests + fuzzed.requests, rounds + 1
            broken += fuzzed.broken
            say(f"{requests:,} requests so far")
    return PartResult(
        name="fuzz",
        reached={"tests of corpora": corpus.passed, "requests": requests, "rounds": rounds},
        failures=(
            *(f"{each} — replay: pytest {' '.join(CORPUS)}" for each in corpus.failed),
            *(f"{each} — replay: python -m proof --only fuzz --seed {seed}" for each in broken),
        ),
    )


def _round(surface: Surface, seed: int, until: float) -> Fuzzed:
    return fuzz(surface, EXAMPLES, seed=seed, go_on=lambda: time.monotonic() < until)
