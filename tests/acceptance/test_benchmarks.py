"""The benchmarks run; how fast anything is, no test says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_CODEX = ("received", "rates", "writer", "decisions", "imports", "polling", "push")


def bench(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_quick_run_measures_every_row_and_says_that_its_figures_mean_nothing(tmp_path: Path):
    written = tmp_path / "run.json"

    done = bench("--quick", "--json", written, *WITHOUT_CODEX)

    assert done.returncode == 0, done.stderr
    assert "its figures say nothing" in done.stdout
    report = json.loads(written.read_bytes())
    assert [section["name"] for section in report["sections"]] == list(WITHOUT_CODEX)
    for section in report["sections"]:
        assert section["rounds"]
        for row in section["rows"]:
            assert row["value"]["median"] > 0, row
            assert row["name"] in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "store: message" in line]
    assert "batches of 64" in line
    assert "≥ 0.6" in line


def test_without_a_codex_the_row_says_so_and_says_what_to_do(tmp_path: Path):
    nowhere = str(tmp_path / "no-codex")

    done = bench(
        "--quick", "listed", "sessions", "hook", "tools", "reconnect",
        "--json", tmp_path / "run.json",
        AGENT_RELAY_CODEX_BIN=nowhere, AGENT_RELAY_TEST_CODEX_169="",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "not measured" in done.stdout
    for section in json.loads((tmp_path / "run.json").read_bytes())["sections"]:
        assert all(row["value"] is None for row in section["rows"])
        assert "AGENT_RELAY_CODEX_BIN" in section["rows"][0]["missing"]


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("--dir", "nowhere/at/all"), ("--json", "nowhere/at/all.json")],
)
def test_a_wrong_option_is_refused_before_anything_is_measured(arguments: tuple[str, ...]):
    done = bench("--quick", *arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "error:" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
