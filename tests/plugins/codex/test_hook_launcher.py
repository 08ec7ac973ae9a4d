"""The launcher file: written whole, read back, and harmless when what it names is gone."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from relay_core import SettingsError, find_places
from relay_plugins.codex.hook_launcher import (
    LauncherState,
    Target,
    launcher_file,
    launcher_text,
    look_at_launcher,
    read_target,
    this_target,
    write_launcher,
)


def _target(folder: Path, *, home: str | None = None) -> Target:
    """Where a stand-in Python and stand-in scripts are."""
    scripts = folder / "it's $(here)"
    scripts.mkdir(parents=True)
    python = folder / "my python"
    python.write_text('#!/bin/sh\necho "$@" "home=${AGENT_RELAY_HOME-none}"\n')
    python.chmod(0o755)
    for name in ("run_cached.py", "hook.py"):
        (scripts / name).write_text("")
    return Target(
        python=python, folder=scripts, control_socket=Path("/tmp/x y.sock"), relay_home=home
    )


def _run(launcher: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [launcher, *arguments],
        env={"AGENT_RELAY_HOME": "/of/the/caller"},
        input="{}",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("home", [None, "/a b/c'd"])
def test_what_is_written_is_read_back(tmp_path: Path, home: str | None):
    target = _target(tmp_path, home=home)

    assert read_target(launcher_text(target)) == target


@pytest.mark.parametrize(("home", "seen"), [(None, "none"), ("/a b/c'd", "/a b/c'd")])
def test_it_runs_the_hook_with_the_home_of_the_installed_relay(
    tmp_path: Path, home: str | None, seen: str
):
    target = _target(tmp_path, home=home)
    write_launcher(tmp_path / "d" / "launcher", target)

    done = _run(tmp_path / "d" / "launcher", "hook")

    assert done.stdout == f"-I -S {target.runner} {target.hook} /tmp/x y.sock home={seen}\n"


def test_it_runs_the_tools_where_this_release_has_them(tmp_path: Path):
    target = _target(tmp_path)
    write_launcher(tmp_path / "launcher", target)
    without = _run(tmp_path / "launcher", "mcp")
    target.tools.write_text("")

    with_tools = _run(tmp_path / "launcher", "mcp")

    assert (without.returncode, without.stdout) == (0, "")
    assert str(target.tools) in with_tools.stdout


@pytest.mark.parametrize(("home", "seen"), [(None, "none"), ("/a b/c'd", "/a b/c'd")])
def test_it_starts_the_host_of_the_installed_relay(tmp_path: Path, home: str | None, seen: str):
    write_launcher(tmp_path / "launcher", _target(tmp_path, home=home))

    done = _run(tmp_path / "launcher", "host")

    assert done.stdout == f"-m relay_cli up --detach home={seen}\n"


def test_an_argument_that_it_does_not_know_does_nothing(tmp_path: Path):
    write_launcher(tmp_path / "launcher", _target(tmp_path))

    done = _run(tmp_path / "launcher", "other")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("gone", ["python", "runner", "hook"])
def test_with_a_vanished_environment_the_session_is_told_what_to_do(tmp_path: Path, gone: str):
    target = _target(tmp_path)
    write_launcher(tmp_path / "launcher", target)
    getattr(target, gone).unlink()

    hook, tools = (_run(tmp_path / "launcher", name) for name in ("hook", "mcp"))

    told = json.loads(hook.stdout)["hookSpecificOutput"]
    assert told["hookEventName"] == "SessionStart"
    assert "not connected" in told["additionalContext"]
    assert "agent-relay-codex install" in told["additionalContext"]
    assert (hook.returncode, tools.returncode, tools.stdout) == (0, 0, "")
    assert look_at_launcher(tmp_path / "launcher", target).state is LauncherState.DEAD


def test_it_is_private_and_replaced_in_one_step(tmp_path: Path):
    target = _target(tmp_path / "e")
    launcher = tmp_path / "d" / "launcher"
    write_launcher(launcher, target)
    before = launcher.open()

    write_launcher(launcher, target)

    assert stat.S_IMODE(launcher.stat().st_mode) == 0o700
    assert stat.S_IMODE(launcher.parent.stat().st_mode) == 0o700
    assert os.fstat(before.fileno()).st_ino != launcher.stat().st_ino
    assert [path.name for path in launcher.parent.iterdir()] == ["launcher"]
    before.close()


def test_a_path_with_a_line_end_is_refused(tmp_path: Path):
    target = Target(python=Path("/a\nb"), folder=tmp_path, control_socket=Path("/s"))

    with pytest.raises(SettingsError, match="line end"):
        launcher_text(target)


def test_its_states_are_told_apart(tmp_path: Path):
    ours, others = _target(tmp_path / "a"), _target(tmp_path / "b")
    launcher = tmp_path / "launcher"

    def state() -> LauncherState:
        return look_at_launcher(launcher, ours).state

    assert state() is LauncherState.MISSING
    write_launcher(launcher, ours)
    assert state() is LauncherState.CURRENT
    launcher.chmod(0o755)
    assert state() is LauncherState.DAMAGED
    write_launcher(launcher, others)
    assert state() is LauncherState.ELSEWHERE
    others.python.unlink()
    assert state() is LauncherState.DEAD
    launcher.write_text("#!/bin/sh\nexec something else\n")
    assert state() is LauncherState.DAMAGED
    launcher.write_bytes(b"\xff\xfe")
    assert state() is LauncherState.DAMAGED
    launcher.unlink()
    launcher.mkdir()
    assert state() is LauncherState.DAMAGED


def test_it_stands_below_home_whatever_the_relays_home_is():
    environ = {"HOME": "/h", "AGENT_RELAY_HOME": "/elsewhere"}

    target = this_target(environ, find_places(environ, 7))

    assert launcher_file(environ) == Path("/h/.local/share/agent-relay/launcher")
    assert target.relay_home == "/elsewhere"
    assert target.python == Path(sys.executable)
    assert all(path.is_file() for path in target.needed)
