"""On a terminal: colour and tables, however narrow it is, and Ctrl-C at any time."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from relay_plugins.codex.testing.terminal import run_on_terminal
from user_commands import PROGRAMS, Relay

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub, one for this file, where `builder` is registered and no host serves it."""
    user = Relay(tmp_path_factory.mktemp("served") / "home")
    user.register("builder", user.up()["url"])
    yield user
    user.end()


def test_colour_and_rules_are_for_terminals_only(relay: Relay):
    on_terminal = _on_terminal(relay, "plugins")
    in_a_pipe = relay("plugins").worked().out

    assert ESCAPE in on_terminal
    assert ESCAPE not in in_a_pipe
    assert "relay.codex" in on_terminal
    assert "relay.codex" in in_a_pipe


def test_no_color_is_obeyed(relay: Relay):
    shown = _on_terminal(relay, "plugins", NO_COLOR="1")

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)


@pytest.mark.parametrize("columns", ["0", "1", "9", "100000", "x"])
def test_any_width_is_fine(relay: Relay, columns: str):
    for command in (["plugins"], ["--help"], ["send", "--help"]):
        assert "Traceback" not in _on_terminal(relay, *command, COLUMNS=columns)


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.5])
def test_ctrl_c_ends_a_waiting_command_with_130(served: Relay, after_s: float):
    waiting = served.start("send", "builder", "hello", "--wait", "60")

    time.sleep(after_s)
    waiting.send_signal(signal.SIGINT)
    out, complaints = waiting.communicate(timeout=30)

    assert waiting.returncode == 130
    assert (out, complaints) == ("", "agent-relay: interrupted\n")


def test_what_ctrl_c_cut_off_half_made_says_nothing_when_it_is_thrown_away(relay: Relay):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=relay.environ, capture_output=True, check=False
    )

    assert (done.returncode, done.stdout) == (130, b"")
    assert done.stderr == b"agent-relay: interrupted\n"


INTERRUPTED = """
import asyncio, sys, unittest.mock
from relay_cli import main
sys.argv = ["agent-relay", "agents"]
cut_off = unittest.mock.patch.object(
    asyncio.SelectorEventLoop, "_make_self_pipe", side_effect=KeyboardInterrupt
)
with cut_off:
    main.main()
"""


def test_progress_is_shown_on_a_terminal_and_taken_away_again(served: Relay):
    shown = _on_terminal(served, "send", "builder", "hello", "--wait", "2")

    assert "waiting for it to arrive … 1 s" in shown
    assert shown.rstrip().splitlines()[-1].split("\x1b[K")[-1].startswith("agent-relay: message")


def _on_terminal(relay: Relay, *arguments: str, **environ: str) -> str:
    """Run a command with a terminal for all its three channels."""
    _, shown = run_on_terminal(
        [PROGRAMS / "agent-relay", *arguments],
        environ={**relay.environ, "TERM": "xterm-256color", **environ},
        cwd=relay.home,
    )
    return shown
