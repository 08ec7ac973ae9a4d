"""A test that failed at first is named; where they are many, the run fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"

FLAKY = """
import pathlib, pytest

@pytest.mark.parametrize("number", range({number}))
def test_it(number, tmp_path_factory):
    mark = pathlib.Path(__file__).with_name(f"mark-{{number}}")
    tried = mark.exists()
    mark.touch()
    assert tried
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")])
@pytest.mark.parametrize(("number", "status"), [(3, 0), (4, 1)])
def test_a_few_second_tries_are_told_and_many_fail_the_run(
    tmp_path: Path, number: int, status: int, options: tuple[str, ...]
):
    (tmp_path / "test_flaky.py").write_text(FLAKY.format(number=number))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "second_tries", "--reruns", "1", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FIXTURES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == status, done.stdout
    assert "FAILED AT FIRST" in done.stdout
    assert done.stdout.count("was tried once more") == number


def test_what_fails_twice_fails_the_run(tmp_path: Path):
    (tmp_path / "test_wrong.py").write_text("def test_it(): assert False\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "second_tries", "--reruns", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FIXTURES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 1
    assert "1 failed, 1 rerun" in done.stdout
