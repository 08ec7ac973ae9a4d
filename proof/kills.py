"""Real kills of host, hub and Codex at every failpoint, and two weaker hosts that they find out."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from history import AnyEvent, Killed, read
from history_checker import violations
from proof.part import PartResult
from proof.run_tests import run_tests

TESTS = "tests/integration/test_kills.py"
ROUND_S = 170
"""About what one kill in each cell takes, on two processors."""
CONTROL = "test_a_weaker_host"
SURE = 3.0
"""No failure in n kills bounds their rate by this many in n, with 95 % (the rule of three)."""


def run(seconds: float, say: Callable[[str], None]) -> PartResult:
    """Kill in each cell as often as the time allows, and check what was written down."""
    each = max(1, round(seconds / ROUND_S))
    say(f"{each} in each cell")
    with tempfile.TemporaryDirectory() as folder:
        # What did not come to its end in time is tried once more: that is the machine. What was
        # written down by then counts, however the second try ends.
        arguments = ("-n", "auto", "--reruns", "1", "-m", "codex", "--kills", str(each), TESTS)
        ran = run_tests((*arguments, "--histories", folder), seconds)
        histories = {path.stem: read(path) for path in sorted(Path(folder).iterdir())}
    honest = [history for name, history in histories.items() if not name.startswith(CONTROL)]
    controls = [history for name, history in histories.items() if name.startswith(CONTROL)]
    lines = [line for history in honest for line in violations(history)]
    broken = Counter(line.split()[0] for line in lines)
    kills = _kills(honest)
    failures = [f"{line} — replay: pytest {' '.join(arguments)}" for line in (*lines, *ran.failed)]
    if not kills:
        failures.append("nobody was killed: is there a Codex?")
    return PartResult(
        name="kills",
        reached={
            "kills": len(kills),
            "lost": broken["I1"],
            "doubled or lost in the thread": broken["I2"],
            "out of order": broken["I3"],
            "failures per kill (95 %) below": f"{SURE / max(1, len(kills)):.2%}",
            "weaker hosts found out": sum(bool(violations(each)) for each in controls),
            "weaker hosts": len(controls),
            **{f"at {where}": times for where, times in sorted(Counter(kills).items())},
        },
        failures=tuple(failures),
    )


def _kills(histories: Sequence[Sequence[AnyEvent]]) -> list[str]:
    return [each.where for one in histories for each in one if isinstance(each, Killed)]
