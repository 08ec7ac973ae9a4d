"""`codex-relay` when something goes wrong: with a program in Codex's place that fails as asked."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay_core.places import find_places
from relay_plugins.codex.testing.processes import processes_with
from relay_plugins.codex.testing.terminal import Terminal
from user_commands import PROGRAMS, Relay, until

STAND_IN = """#!{python} -S
import os, signal, socket, sys, time
address = next((each for each in sys.argv if each.startswith("unix://")), "")[7:]
if sys.argv[1:] == ["--version"]:
    print("codex-cli 0.169.0")
elif sys.argv[1:2] == ["app-server"]:
    if "SERVER_SAYS" in os.environ:
        sys.exit(os.environ["SERVER_SAYS"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    taken = []
    while True:
        taken.append(listening.accept())
else:
    opened = socket.socket(socket.AF_UNIX)
    opened.connect(address)
    print("THE TERMINAL UI IS OPEN", flush=True)
    status = os.environ.get("UI_STATUS")
    if status:
        time.sleep(float(os.environ.get("UI_SECONDS", "0")))
        sys.exit(int(status))
    time.sleep(100)
"""
OPEN = "THE TERMINAL UI IS OPEN"


@dataclass
class Desk:
    """One user who types `codex-relay` in terminals."""

    relay: Relay
    terminals: list[Terminal] = field(default_factory=list[Terminal])

    def type(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Terminal:
        terminal = Terminal(
            [PROGRAMS / "codex-relay", *arguments],
            environ={**self.relay.environ, **(environ or {})},
            cwd=self.relay.home,
            columns=250,
        )
        self.terminals.append(terminal)
        return terminal

    def said(self, terminal: Terminal) -> tuple[int, str]:
        """Wait for the end; its exit status, and what was printed."""
        status = terminal.wait()
        terminal.close()
        return status, terminal.text

    def processes(self) -> dict[int, str]:
        """Everything that runs for this user, but for the host."""
        commands = processes_with("HOME", self.relay.home).items()
        return {pid: said for pid, said in commands if " up" not in said}

    def folders(self) -> list[Path]:
        """The folders of the app-servers that run."""
        commands = [each for each in self.processes().values() if "app-server" in each]
        return [Path(each.split("unix://")[1].split()[0]).parent for each in commands]


@pytest.fixture
def desk(short_path: Path) -> Iterator[Desk]:
    program = short_path / "codex"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    environ = {"AGENT_RELAY_CODEX_BIN": str(program)}
    relay = Relay(short_path / "home", in_process=True, environ=environ)
    relay.write_config("[hub]\nport = 0\n")
    desk = Desk(relay)
    yield desk
    for terminal in desk.terminals:
        terminal.close()
    until("no process is left", lambda: not desk.processes())
    relay.end()


@pytest.fixture
def running(desk: Desk) -> Desk:
    desk.relay.up()
    return desk


def test_the_terminal_uis_exit_status_is_passed_on_and_why_it_was_not_connected(running: Desk):
    terminal = running.type(environ={"UI_STATUS": "7", "UI_SECONDS": "3"})
    terminal.until(OPEN)
    (folder,) = running.folders()

    status, text = running.said(terminal)

    assert status == 7
    assert "codex-relay: the session was not connected to the relay: " in text
    assert not folder.exists()


def test_a_signal_reaches_the_terminal_ui_and_tells_in_the_exit_status(running: Desk):
    terminal = running.type()
    terminal.until(OPEN)
    (folder,) = running.folders()

    terminal.process.send_signal(signal.SIGTERM)

    assert running.said(terminal)[0] == 128 + signal.SIGTERM
    assert not folder.exists()


def test_a_killed_launcher_takes_everything_with_it(running: Desk):
    terminal = running.type()
    terminal.until(OPEN)
    (folder,) = running.folders()

    terminal.kill()

    until("all is gone", lambda: not running.processes() and not folder.exists())


def test_a_killed_guardian_ends_the_session_in_one_line(running: Desk):
    terminal = running.type()
    terminal.until(OPEN)
    (folder,) = running.folders()
    me = terminal.process.pid
    (guardian,) = [
        pid for pid, command in running.processes().items() if "keeping" in command and pid != me
    ]

    os.kill(guardian, signal.SIGKILL)
    status, text = running.said(terminal)

    assert status == 1
    assert "codex-relay: the process that keeps Codex's app-server was killed" in text
    until("all is gone", lambda: not running.processes() and not folder.exists())


def test_an_app_server_that_does_not_start_is_one_line_with_its_last_word(running: Desk):
    terminal = running.type(environ={"SERVER_SAYS": "no room left"})

    status, text = running.said(terminal)

    assert status == 1
    assert text.splitlines()[-1] == ("codex-relay: Codex's app-server did not start: no room left")


def test_a_broken_profiles_file_refuses_the_start_with_the_line(running: Desk):
    profiles = running.relay.config.parent / "profiles.json"
    profiles.write_text('{\n "a": {"approval": "gaurded"}\n}')

    status, text = running.said(running.type(environ={"AGENT_RELAY_PROFILE": "a"}))

    assert status == 4
    assert f"{profiles}:2: a.approval: 'gaurded' is no approval mode" in text
    assert OPEN not in text


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"AGENT_RELAY_APPROVAL": "all"}, "AGENT_RELAY_APPROVAL='all' is no approval mode"),
        ({"AGENT_RELAY_CODEX_SANDBOX": "none"}, "AGENT_RELAY_CODEX_SANDBOX='none'"),
        ({"AGENT_RELAY_CODEX_STATE_PATH": "/no/such/state"}, "there is no folder /no/such"),
        ({"CODEX_APP_SERVER_URL": "ws://elsewhere:1"}, "CODEX_APP_SERVER_URL"),
    ],
)
def test_a_variable_that_means_nothing_refuses_the_start(
    running: Desk, environ: dict[str, str], told: str
):
    status, text = running.said(running.type(environ=environ))

    assert status == 4
    assert told in text
    assert OPEN not in text


def test_a_shared_app_server_that_is_not_there_is_one_line(running: Desk, short_path: Path):
    environ = {"CODEX_APP_SERVER_URL": f"unix://{short_path}/none"}

    status, text = running.said(running.type(environ=environ))

    assert status == 1
    assert f"no app-server answers at unix://{short_path}/none" in text
    assert OPEN not in text


def test_without_a_terminal_nothing_is_started(desk: Desk):
    done = desk.relay("start", program="agent-relay-codex")

    assert "needs a terminal" in done.failed(2)


def test_what_killed_sessions_left_is_removed_by_the_next_start(running: Desk):
    sockets = find_places(running.relay.environ, os.getuid()).sockets
    left = sockets / f"codex-test-{os.getpid()}"
    left.mkdir(mode=0o700)
    for name in ("lock", "log"):
        (left / name).touch()
    os.utime(left, (time.time() - 3600,) * 2)

    running.said(running.type(environ={"UI_STATUS": "0"}))

    assert not left.exists()
