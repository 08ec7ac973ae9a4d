"""Commands in a session's shell act as that session's agent, in the slash forms too."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from user_commands import Relay

THREAD = "0197a1b2-0000-7000-8000-a1b2c3d4e5f6"
AGENT = "codex-web-a1b2c3d4e5f6"
INSIDE = {"CODEX_THREAD_ID": THREAD}
ELSEWHERE = {"CODEX_THREAD_ID": "0197a1b2-0000-7000-8000-ffffffffffff"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with a session's agent and another one, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    url = user.up()["url"]
    user.register(
        AGENT,
        url,
        adapter="codex",
        rig="codex-live",
        tags=["codex", "codex-live", "web", "old"],
        meta={"threadId": THREAD, "cwd": "/srv/web"},
    )
    user.register("builder", url)
    yield user
    user.end()


def shown(relay: Relay) -> dict[str, Any]:
    agents = relay("agents", "--json").worked().json["agents"]
    return next(one for one in agents if one["id"] == AGENT)


def test_a_message_from_a_sessions_shell_is_from_its_agent_and_says_so(served: Relay):
    told = served("send", "builder", "hello", environ=INSIDE).worked().out
    sent = served("send", "builder", "hello", "--json", environ=INSIDE).worked().json

    assert f"sent as {AGENT}\n" in told
    assert served("show", str(sent["id"]), "--json").json["from"] == AGENT


def test_an_inbox_without_a_name_is_the_sessions_or_the_operators(served: Relay):
    served("send", AGENT, "for the session").worked()
    served("send", "operator", "for the user", "--as", AGENT).worked()

    inside = served("inbox", "--json", environ=INSIDE).worked().json["messages"]
    outside = served("inbox", "--json").worked().json["messages"]

    assert inside[-1]["body"] == "for the session"
    assert outside[-1]["body"] == "for the user"
    assert "--as" in served("inbox", environ=ELSEWHERE).failed(1)


@pytest.mark.parametrize("option", ["--from", "--as"])
def test_a_name_beats_the_shell(served: Relay, option: str):
    for name, target in (("builder", AGENT), ("operator", "builder")):
        sent = served("send", target, "x", option, name, "--json", environ=INSIDE)
        number = str(sent.worked().json["id"])
        assert served("show", number, "--json").json["from"] == name


def test_a_session_that_is_no_agent_sends_nothing_and_never_as_the_operator(served: Relay):
    before = served("inbox", "builder", "--json").json["messages"]

    line = served("send", "builder", "hello", environ=ELSEWHERE).failed(1)

    assert "--from" in line
    assert served("inbox", "builder", "--json").json["messages"] == before


@pytest.mark.parametrize(
    "words", [("label", "x"), ("tags", "x"), ("disconnect",), ("status", "--mine"), ("/status",)]
)
def test_who_is_meant_must_be_known_and_how_to_name_one_is_said(
    served: Relay, words: tuple[str, ...]
):
    assert "--as" in served(*words, environ=ELSEWHERE).failed(1)
    assert "--as" in served(*words).failed(2)
    assert "nobody" in served(*words, "--as", "nobody").failed(1)
    assert "operator" in served(*words, "--as", "operator").failed(2)


def test_label_and_its_slash_form_set_it_for_good(served: Relay):
    served("/label", "backend", "fixer", environ=INSIDE).worked()
    by_slash = shown(served)["label"]
    served("label", "reviewer", "--as", AGENT).worked()
    asked = served("label", "--json", environ=INSIDE).worked().json
    cleared = served("label", "--clear", "--json", environ=INSIDE).worked().json

    assert by_slash == "backend fixer"
    assert asked == {"agentId": AGENT, "label": "reviewer"}
    assert cleared == {"agentId": AGENT, "label": None}


def test_tags_and_their_slash_form_keep_what_says_what_the_session_is(served: Relay):
    by_slash = served("/tags", "backend", "tests,urgent", "web", "--json", environ=INSIDE)
    asked = served("tags", environ=INSIDE).worked().out
    cleared = served("tags", "--clear", "--as", AGENT, "--json").worked().json

    assert by_slash.worked().json == {
        "agentId": AGENT,
        "tags": ["codex", "codex-live", "web", "backend", "tests", "urgent"],
    }
    assert asked == f"{AGENT} has the tags codex,codex-live,web,backend,tests,urgent\n"
    assert cleared["tags"] == ["codex", "codex-live", "web"]


def test_a_name_that_a_terminal_could_obey_is_shown_harmless(served: Relay):
    told = served("label", "red\x1b[31m", "--as", AGENT)

    assert "\x1b" not in told.out + told.err


def test_a_command_that_may_open_no_socket_says_so(served: Relay):
    # What a sandbox does to the commands in it: every connect is EPERM.
    script = (
        "import errno, socket, sys\n"
        "def forbidden(*_):\n"
        "    raise PermissionError(errno.EPERM, 'Operation not permitted')\n"
        "socket.socket.connect = forbidden\n"
        "sys.argv = ['agent-relay', *sys.argv[1:]]\n"
        "from relay_cli.main import main\n"
        "main()\n"
    )
    for words in (("send", "builder", "x"), ("/status",), ("plugins",), ("down",), ("tail",)):
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env={**served.environ, **INSIDE},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert len(done.stderr.splitlines()) == 1, (words, done)
        assert "may not open any socket" in done.stderr, (words, done)
        assert done.returncode == 3, words
