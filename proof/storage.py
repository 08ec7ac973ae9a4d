"""A disk that fails: the tests of it, as dense as the time allows."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from proof.part import PartResult

ROOT = Path(__file__).parents[1]
TESTS = "tests/hub/test_failing_disk.py"
EVERY_FAULT_S = 400
"""About what it takes to fail every single write of the stories, on two processors."""
LIMIT = 4


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Fail every Nth write, N as small as the time allows."""
    apart = max(1, math.ceil(EVERY_FAULT_S / seconds))
    say(f"one write in {apart} fails")
    command = [*("-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--faults-apart")]
    done = subprocess.run(
        [sys.executable, *command, str(apart), TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + LIMIT * max(seconds, EVERY_FAULT_S),
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = tuple(re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE))
    if done.returncode and not failed:
        failed = ((done.stdout + done.stderr).strip().splitlines()[-1],)
    again = f"replay: pytest {TESTS} --faults-apart {apart}"
    return PartResult(
        name="storage",
        reached={"tests": int(passed[1]) if passed else 0, "one write in": apart},
        failures=tuple(f"{each} — {again}" for each in failed),
    )
