"""A hub under load: the tests of how many connections it holds, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from proof.part import PartResult
from proof.run_tests import run_tests

TESTS = ("tests/hub/test_connections.py", "tests/hub/test_server_limits.py")


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Fill the hub with connections until the time is over or a test fails."""
    end = time.monotonic() + seconds
    rounds = tests = 0
    failures: tuple[str, ...] = ()
    while not failures and (left := end - time.monotonic()) > 0:
        ran = run_tests(TESTS, left)
        rounds, tests = rounds + 1, tests + ran.passed
        failures = tuple(f"{each} — replay: pytest {' '.join(TESTS)}" for each in ran.failed)
    say(f"{rounds} rounds")
    return PartResult(name="load", reached={"rounds": rounds, "tests": tests}, failures=failures)
