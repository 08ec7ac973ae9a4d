"""Bad inputs on every surface, and requests that the API's description allows or nearly allows."""

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
CORPORA = {
    "HTTP and websocket": (
        "tests/hub/test_bad_inputs.py",  # each of its cases crosses hundreds of inputs
        "tests/hub/test_every_route.py",
        "tests/hub/test_server_limits.py",
    ),
    "command line": ("tests/acceptance/test_typing_mistakes.py",),
    "environment": ("tests/acceptance/test_variables.py",),
    "files of the user": (
        "tests/core/test_settings.py",
        "tests/core/test_user_files.py",
        "tests/plugins/test_profiles.py",
    ),
    "hooks": (
        "tests/plugins/codex/test_hook_command.py",
        "tests/plugins/codex/test_session_start.py",
    ),
    "control socket": ("tests/core/test_control.py",),
    "pipe and tools": (
        "tests/plugins/codex/test_mcp_pipe.py",
        "tests/plugins/codex/test_tool_server.py",
    ),
    "what Codex answers": (
        "tests/plugins/codex/test_protocol.py",
        "tests/plugins/codex/test_faults.py",
    ),
    "state files": ("tests/hub/test_damaged_stores.py",),
    "terminals and prompts": ("tests/core/test_terminal.py", "tests/core/test_fence.py"),
}
"""The tests of bad inputs, by surface."""

FIRST_SEED = "AGENT_RELAY_TEST_FIRST_SEED"


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Go through the corpora once, then ask in rounds, each from a seed, until the time is over."""
    until = time.monotonic() + seconds
    ran = {
        surface: run_tests(("-n", "auto", *tests), seconds) for surface, tests in CORPORA.items()
    }
    named = sum(each.passed for each in ran.values())
    say(f"{named} named cases on {len(ran)} surfaces")
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
        reached={
            "named cases": named,
            **{f"on {surface}": each.passed for surface, each in ran.items()},
            "requests": requests,
            "rounds": rounds,
        },
        failures=(
            *(
                f"{line} — replay: pytest {' '.join(CORPORA[surface])}"
                for surface, each in ran.items()
                for line in each.failed
            ),
            *(f"{each} — replay: python -m proof --only fuzz --seed {seed}" for each in broken),
        ),
    )


def _round(surface: Surface, seed: int, until: float) -> Fuzzed:
    return fuzz(surface, EXAMPLES, seed=seed, go_on=lambda: time.monotonic() < until)
