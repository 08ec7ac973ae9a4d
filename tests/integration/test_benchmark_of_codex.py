"""The benchmarks that need a real Codex run on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from relay_plugins.codex.launcher import CodexBinary

ROOT = Path(__file__).parents[2]
NAMES = ("listed", "sessions", "hook")


def test_a_quick_run_measures_what_needs_a_real_codex(codex_binary: CodexBinary, tmp_path: Path):
    written = tmp_path / "run.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *NAMES, "--json", written],
        cwd=ROOT,
        env={**os.environ, "AGENT_RELAY_TEST_CODEX_169": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    listed, sessions, hook = json.loads(written.read_bytes())["sections"]
    measured = [row for row in listed["rows"] if row["value"] is not None]
    assert measured
    assert all(codex_binary.version in row["name"] for row in measured)
    assert all(row["yardstickValue"]["median"] > 0 for row in measured)
    resident = [row for row in sessions["rows"] if "with one session" in row["name"]]
    assert len(resident) == 4
    assert all(row["value"]["median"] > 5 for row in resident), "a Python has more than 5 MB"
    assert all(row["value"]["median"] > 0 for row in hook["rows"])
