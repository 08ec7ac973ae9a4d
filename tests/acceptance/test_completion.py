"""Completion, pressed in real shells."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_plugins.codex.testing.terminal import Terminal
from user_commands import PROGRAMS, Relay, Typed

CLEAR_LINE = "\x15"
STARTS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "--interactive"),
}
LOADS = {
    "bash": 'eval "$(agent-relay completion bash)"; PS1=ready">"; bind "set bell-style none"',
    "zsh": 'autoload -U compinit; compinit -D; eval "$(agent-relay completion zsh)"; PS1=ready">"',
    "fish": 'agent-relay completion fish | source; function fish_prompt; echo "ready>"; end',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with one agent, whose names the shells offer."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    url = user.up()["url"]
    user.register("builder-7", url, label="Bertha", tags=["brickwork"], capabilities=["mortar"])
    user.register("nasty", url, label="$(id) ;x", tags=["tick`"])
    user.environ |= {
        "PATH": f"{PROGRAMS}{os.pathsep}{user.environ['PATH']}",
        "TERM": "xterm",
        "AGENT_RELAY_URL": url,
    }
    yield user
    user.end()


@pytest.mark.parametrize("shell", STARTS)
def test_a_shell_completes_commands_options_and_names(served: Relay, shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    with Terminal(STARTS[shell], environ=served.environ, cwd=served.home) as terminal:
        terminal.type(LOADS[shell])
        terminal.press("enter")
        terminal.until("ready>")
        for typed, completed in (
            ("agent-relay thr", "agent-relay thread"),
            ("agent-relay send bui", "agent-relay send builder-7"),
            ("agent-relay send tag:bri", "agent-relay send tag:brickwork"),
            ("agent-relay-codex att", "agent-relay-codex attach"),
        ):
            terminal.type(typed)
            press_tab_until(terminal, completed)
            terminal.type(CLEAR_LINE)


def press_tab_until(terminal: Terminal, completed: str) -> None:
    """Press Tab; again where a busy machine's hub did not answer at once."""
    for _ in range(8):
        terminal.press("tab")
        with contextlib.suppress(AssertionError):
            terminal.until(completed, limit_s=8)
            return
    terminal.until(completed, limit_s=0.1)


def ask(relay: Relay, line: str, **environ: str) -> list[str]:
    """Ask as bash's script does."""
    around = {"_AGENT_RELAY_COMPLETE": "bash_complete", "COMP_LINE": line, **environ}
    answer = relay(environ=around).worked()
    assert answer.err == ""
    return [each.partition(",")[2] for each in answer.out.splitlines()]


def test_what_a_shell_could_obey_is_never_offered(served: Relay):
    offered = ask(served, "agent-relay send ")

    assert {"builder-7", "nasty", "label:Bertha", "tag:brickwork", "cap:mortar"} <= set(offered)
    assert not [word for word in offered if "$" in word or "`" in word]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("agent-relay inbox oper", ["operator"]),
        ("agent-relay pair acc", ["accept"]),
        ("agent-relay pair buil", ["builder-7"]),
        ("agent-relay /pair --as buil", ["builder-7"]),
        ("agent-relay label x --as=buil", ["builder-7"]),
        ("agent-relay tags brick", ["brickwork"]),
        ("agent-relay completion f", ["fish"]),
        ("agent-relay /dis", ["/disconnect"]),
        ("agent-relay send --subj", ["--subject"]),
        ("agent-relay 'sen", ["send"]),
        ("agent-relay nonsense ", []),
    ],
)
def test_what_fits_is_offered(served: Relay, line: str, offered: list[str]):
    assert ask(served, line) == offered


def test_without_a_hub_only_what_needs_none_is_offered_and_nothing_is_said(relay: Relay):
    assert ask(relay, "agent-relay send bui", AGENT_RELAY_URL="http://127.0.0.1:9") == []
    assert ask(relay, "agent-relay thr") == ["thread"]
    relay.write_config("this is no toml")
    assert ask(relay, "agent-relay send bui") == []


def test_the_script_is_for_the_users_shell_unless_another_is_named(relay: Relay):
    named = relay("completion", "zsh", "--json").worked().json
    found = relay("completion", "--json", environ={"SHELL": "/usr/bin/zsh"}).worked().json

    assert named == found
    assert "compdef" in named["script"]
    assert "which shell" in relay("completion", environ={"SHELL": "/bin/tcsh"}).failed(2)


def test_a_question_that_no_shell_asks_is_no_command(typed: Typed, tmp_path: Path, relay: Relay):
    assert relay(environ={"_AGENT_RELAY_COMPLETE": "nonsense"}).code == 2


def test_behind_a_word_that_ends_a_command_nothing_is_offered_and_nothing_is_said(relay: Relay):
    line = "agent-relay-codex start --help "
    environ = {"_AGENT_RELAY_CODEX_COMPLETE": "bash_complete", "COMP_LINE": line}

    done = relay(program="agent-relay-codex", environ=environ).worked()

    assert (done.out, done.err) == ("", "")
