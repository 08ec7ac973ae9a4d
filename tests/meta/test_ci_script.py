"""The CI script runs what the README says, in clean copies, and believes only a proof."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROVED = '{"agent":"codex","proved":true,"steps":[]}'


def _run(
    folder: Path, demo: str, tests: str = "test ! -e dirt", proof: str = "true"
) -> subprocess.CompletedProcess[str]:
    """Run the script in a repository whose README holds these three commands."""
    repository = folder / "repository"
    (repository / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", repository / ".ci" / "run")
    commands = {"demo": demo, "tests": tests, "proof": proof}
    blocks = [f"<!-- ci: {name} -->\n```sh\n{line}\n```\n" for name, line in commands.items()]
    (repository / "README.md").write_text("\n".join(blocks))
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=repository, check=True, capture_output=True)
    (repository / "dirt").touch()
    return subprocess.run(
        ["bash", repository / ".ci" / "run"],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _demo(answer: str) -> str:
    """Return a command that puts an `agent-relay` there which prints this answer."""
    return (
        'test -z "$(ls -A "$HOME")" && mkdir -p .venv/bin && '
        f"printf '#!/bin/sh\\necho '\\''%s'\\''\\n' '{answer}' > .venv/bin/agent-relay && "
        "chmod +x .venv/bin/agent-relay"
    )


def test_it_passes_when_both_commands_pass_and_the_demo_is_proved(tmp_path: Path):
    done = _run(tmp_path, _demo(PROVED))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "=== tests: test ! -e dirt" in done.stdout
    assert "all of it passed" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


@pytest.mark.parametrize(
    "answer", ['{"agent":"echo","proved":true}', '{"agent":"codex","proved":false}', "{}"]
)
def test_it_fails_when_the_demo_is_not_proved_on_a_real_codex(tmp_path: Path, answer: str):
    done = _run(tmp_path, _demo(answer))

    assert done.returncode != 0
    assert 'does not say "agent":"codex","proved":true' in done.stderr


def test_it_fails_when_the_tests_fail(tmp_path: Path):
    assert _run(tmp_path, _demo(PROVED), tests="exit 7").returncode == 7


def test_the_proof_runs_where_the_tests_did_and_fails_the_run(tmp_path: Path):
    done = _run(tmp_path, _demo(PROVED), tests="touch made", proof="test -e made && exit 5")

    assert done.returncode == 5


def test_it_fails_when_the_readme_has_no_such_command(tmp_path: Path):
    done = _run(tmp_path, "")

    assert done.returncode != 0
    assert "no fenced block after '<!-- ci: demo -->'" in done.stderr


def test_the_readme_of_this_project_has_the_commands():
    readme = (ROOT / "README.md").read_text()

    assert "python3 -m venv .venv && .venv/bin/pip install '.[codex]' && " in readme
    assert ".venv/bin/agent-relay demo\n```" in readme
    assert "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox\n```" in readme
    assert ".venv/bin/tox -e proof -- --minutes 10\n```" in readme
