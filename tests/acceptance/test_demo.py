"""The demo is what a newcomer runs first: it proves, or it says that it did not."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from user_commands import PROGRAMS, Relay, until

README = Path(__file__).parents[2] / "README.md"
STEPS_WITH_CODEX = [
    "model", "codex", "thread", "up", "register", "attach", "stored", "delivered", "turn",
    "second-look", "down", "removed",
]  # fmt: skip
STEPS_WITH_ECHO = [
    "up", "register", "agents", "stored", "delivered", "turn", "second-look", "down", "removed",
]  # fmt: skip


def test_with_no_codex_echo_agents_take_part_and_the_last_line_says_so(no_codex: Relay):
    done = no_codex("demo").worked()

    assert "no Codex took part" in done.out.splitlines()[-1]
    assert _left_behind(no_codex) == []


def test_with_no_codex_the_json_says_echo(no_codex: Relay):
    report = no_codex("demo", "--json").worked().json

    assert report["agent"] == "echo"
    assert report["proved"] is True
    assert report["codexVersion"] is None
    assert [step["name"] for step in report["steps"]] == STEPS_WITH_ECHO


@pytest.mark.codex
def test_with_codex_a_message_becomes_a_turn_proved(with_codex: Relay, codex_version: str):
    done = with_codex("demo", "--json").worked()

    report = done.json
    assert report["agent"] == "codex"
    assert report["proved"] is True
    assert report["codexVersion"] == codex_version
    assert [step["name"] for step in report["steps"]] == STEPS_WITH_CODEX
    times = [step["atMs"] for step in report["steps"]]
    assert all(isinstance(at, int) and at >= 0 for at in times)
    assert _left_behind(with_codex) == []


@pytest.mark.codex
def test_with_codex_people_see_a_timeline_as_readme_shows_it(with_codex: Relay, codex_version: str):
    picture = README.read_text().split("<!-- ci: picture -->\n```text\n")[1].split("\n```")[0]

    printed = with_codex("demo").worked().out

    assert _without_what_changes(printed) == _without_what_changes(picture)
    lines = printed.splitlines()
    assert lines[0].startswith(f"Agent Relay demo with Codex {codex_version}, in /")
    assert sum(" ms  " in line for line in lines) == len(STEPS_WITH_CODEX)
    assert lines[-1].startswith("proved: one message, one turn in a real Codex")


def _without_what_changes(text: str) -> list[str]:
    """Numbers, ids and the temporary folder's name differ from run to run."""
    plain = re.sub(r"/\S*agent-relay-demo-[a-z0-9_]+", "FOLDER", text)
    plain = re.sub(r"[0-9a-f]{12}|[0-9a-f-]{36}|[0-9.]+", "N", plain)
    return [" ".join(re.sub("N[N-]*", "N", line).split()) for line in plain.strip().splitlines()]


@pytest.mark.codex
def test_a_message_that_never_reaches_codex_is_not_called_proved(with_codex: Relay):
    done = with_codex("demo", "--json", "--wait", "3", environ=DROPPED)

    assert done.code == 5
    assert done.json["proved"] is False
    assert "delivered" not in [step["name"] for step in done.json["steps"]]
    assert "the thread holds the text 0 times" in done.json["trouble"]
    assert _left_behind(with_codex) == []


@pytest.mark.codex
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", ["codex", "up"])
def test_an_interrupted_demo_leaves_nothing_behind(
    with_codex: Relay, how: signal.Signals, after: str
):
    process = with_codex.start("demo")
    assert process.stdout is not None
    seen = {"codex": "codex app-server", "up": "agent-relay up"}[after]
    until(seen, lambda: seen in (process.stdout.readline() if process.stdout else ""))

    process.send_signal(how)
    _, complaints = process.communicate(timeout=60)

    assert process.returncode == 130
    assert complaints == "agent-relay: interrupted\n"
    assert _left_behind(with_codex) == []


@pytest.mark.codex
def test_the_demo_runs_in_an_empty_environment(with_codex: Relay):
    only = {
        "HOME": with_codex.environ["HOME"],
        "AGENT_RELAY_CODEX_BIN": with_codex.environ["AGENT_RELAY_CODEX_BIN"],
    }
    done = subprocess.run(
        [PROGRAMS / "agent-relay", "demo", "--json"],
        env=only,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done
    assert json.loads(done.stdout)["proved"] is True


DROPPED = {"AGENT_RELAY_TEST": "1", "AGENT_RELAY_FAILPOINT": "inject_dropped:drop"}


@pytest.fixture
def no_codex(relay: Relay, short_path: Path) -> Relay:
    """A machine without Codex: none on PATH, and the extra's one hidden."""
    hidden = short_path / "hidden" / "codex_cli_bin"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text(
        "def bundled_codex_path():\n    return '/nonexistent/codex'\n"
    )
    relay.environ |= {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(hidden.parent)}
    if shutil.which("codex", path=relay.environ["PATH"]):
        pytest.skip("this machine has a Codex in /usr/bin")
    return _with_own_tmp(relay)


@pytest.fixture
def with_codex(relay: Relay, codex_binary: Any) -> Relay:
    """A user whose Codex is the one under test."""
    relay.environ["AGENT_RELAY_CODEX_BIN"] = str(codex_binary.path)
    return _with_own_tmp(relay)


@pytest.fixture
def codex_version(codex_binary: Any) -> str:
    return codex_binary.version


def _with_own_tmp(relay: Relay) -> Relay:
    folder = relay.home.parent / "tmp"
    folder.mkdir()
    relay.environ["TMPDIR"] = str(folder)
    return relay


def _left_behind(relay: Relay) -> list[str]:
    """Name what the demo has left: folders, processes, files in the user's home."""
    mine = relay.environ["TMPDIR"]
    folders = [str(path) for path in Path(mine).iterdir()]
    files = [str(path) for path in relay.home.rglob("*")]
    running: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        ours = os.fsencode(mine) in environ
        if ours and int(process.name) != os.getpid():
            running.append(command)
    return [*folders, *files, *running]
