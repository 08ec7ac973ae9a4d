"""Tests that a part of the proof runs, denser than the ordinary suite does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from relay_core import Struct

ROOT = Path(__file__).parents[1]
TIMES = 5
"""A run that takes so many times as long as it was given hangs."""


class Ran(Struct):
    """What a run of pytest came to: how many passed, and a line for each that failed."""

    passed: int
    failed: tuple[str, ...]


def run_tests(arguments: Sequence[str], seconds: float) -> Ran:
    """Run pytest on these; `seconds` is about what it should take."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300 + TIMES * seconds,
        )
    except subprocess.TimeoutExpired as late:
        return Ran(passed=0, failed=(f"it did not end within {late.timeout:.0f} s",))
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = tuple(re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE))
    if done.returncode and not failed:
        failed = tuple((done.stdout + done.stderr).strip().splitlines()[-1:])
    return Ran(passed=int(passed[1]) if passed else 0, failed=failed)
