"""A disk that fails: the tests of it, as dense as the time allows."""

from __future__ import annotations

import math
from collections.abc import Callable

from proof.part import PartResult
from proof.run_tests import run_tests

TESTS = "tests/hub/test_failing_disk.py"
EVERY_FAULT_S = 400
"""About what it takes to fail every single write of the stories, on two processors."""


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Fail every Nth write, N as small as the time allows."""
    apart = max(1, math.ceil(EVERY_FAULT_S / seconds))
    say(f"one write in {apart} fails")
    arguments = ("--faults-apart", str(apart), TESTS)
    ran = run_tests(arguments, seconds)
    return PartResult(
        name="storage",
        reached={"tests": ran.passed, "one write in": apart},
        failures=tuple(f"{each} — replay: pytest {' '.join(arguments)}" for each in ran.failed),
    )
