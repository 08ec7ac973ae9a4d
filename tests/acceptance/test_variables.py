"""Every environment variable stands in one table, and says what is wrong with its value."""

import ast
import re
from pathlib import Path

import pytest

from relay_cli.variables import VARIABLES, session_environment
from relay_core import Reach, SettingsError
from relay_plugins.codex.variables import SessionWishes, read_wishes

SOURCES = Path(__file__).parents[2] / "src"
NAMES = {each.name for each in VARIABLES}

SEED = {
    "AGENT_RELAY_APPROVAL",
    "AGENT_RELAY_CAPS",
    "AGENT_RELAY_CHANNELS",
    "AGENT_RELAY_CODEX_APPROVAL_POLICY",
    "AGENT_RELAY_CODEX_CWD",
    "AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS",
    "AGENT_RELAY_CODEX_POLL_INTERVAL_MS",
    "AGENT_RELAY_CODEX_RIG",
    "AGENT_RELAY_CODEX_SANDBOX",
    "AGENT_RELAY_CODEX_STATE_PATH",
    "AGENT_RELAY_LABEL",
    "AGENT_RELAY_PROFILE",
    "AGENT_RELAY_PROFILES_FILE",
    "AGENT_RELAY_TAGS",
    "AGENT_RELAY_TOKEN",
    "AGENT_RELAY_URL",
    "CODEX_APP_SERVER_URL",
    "CODEX_MODEL",
    "CODEX_THREAD_ID",
    "CODEX_THREAD_MODE",
}


def test_each_stands_there_once():
    assert len(NAMES) == len(VARIABLES)
    assert SEED <= NAMES


def test_none_is_read_that_does_not_stand_there():
    read = {
        node.value
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"AGENT_RELAY_[A-Z_]*[A-Z]", node.value)
    }

    assert read - NAMES == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_RELAY_URL", "ftp://x"),
        ("AGENT_RELAY_TOKEN", "two words"),
        ("AGENT_RELAY_CODEX_POLL_INTERVAL_MS", "often"),
        ("AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS", "1"),
        ("AGENT_RELAY_HOME", "here"),
        ("AGENT_RELAY_PROFILES_FILE", "profiles.json"),
        ("AGENT_RELAY_PROFILE", "a\x1bb"),
        ("AGENT_RELAY_LABEL", "x" * 200),
        ("AGENT_RELAY_TAGS", "ok,\x07"),
        ("AGENT_RELAY_CAPS", "," * 3 + "x" * 200),
        ("AGENT_RELAY_CHANNELS", "*"),
        ("AGENT_RELAY_APPROVAL", "yolo"),
        ("AGENT_RELAY_CODEX_RIG", "\x00"),
        ("AGENT_RELAY_CODEX_CWD", "/no/such/folder"),
        ("AGENT_RELAY_CODEX_STATE_PATH", "/"),
        ("AGENT_RELAY_CODEX_APPROVAL_POLICY", "on-failure"),
        ("AGENT_RELAY_CODEX_SANDBOX", "none"),
        ("AGENT_RELAY_CODEX_BIN", "/co\0dex"),
        ("CODEX_HOME", "codex"),
        ("CODEX_APP_SERVER_URL", "ws://10.0.0.1:4501"),
        ("CODEX_THREAD_ID", "../x"),
        ("CODEX_THREAD_MODE", "attach"),
        ("CODEX_MODEL", "--yolo"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(name: str, value: str):
    variable = next(each for each in VARIABLES if each.name == name)

    with pytest.raises(SettingsError) as caught:
        variable.check({name: value})

    assert caught.value.detail.startswith(name)
    assert caught.value.fix or "characters" in caught.value.detail
    assert "two words" not in caught.value.detail


def test_an_empty_one_counts_as_not_set(tmp_path: Path):
    empty = dict.fromkeys(NAMES, "")
    for each in VARIABLES:
        each.check(empty)

    assert read_wishes(empty) == SessionWishes()
    assert session_environment(empty) == {}


def test_a_shell_says_what_the_session_is_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()

    wishes = read_wishes(
        {
            "AGENT_RELAY_CODEX_CWD": "here",
            "AGENT_RELAY_CODEX_STATE_PATH": "here/state.json",
            "AGENT_RELAY_CODEX_APPROVAL_POLICY": "never",
            "AGENT_RELAY_CODEX_SANDBOX": "read-only",
            "CODEX_APP_SERVER_URL": "ws://127.0.0.1:4501",
            "CODEX_THREAD_ID": "01a20238-55cd-79d2-ad22-fc94608eaedc",
            "CODEX_THREAD_MODE": "resume",
            "CODEX_MODEL": "gpt-5.2-codex",
        }
    )

    assert wishes == SessionWishes(
        cwd=tmp_path / "here",
        state_path=tmp_path / "here" / "state.json",
        approval_policy="never",
        sandbox="read-only",
        app_server_url="ws://127.0.0.1:4501",
        thread_id="01a20238-55cd-79d2-ad22-fc94608eaedc",
        thread_mode="resume",
        model="gpt-5.2-codex",
    )


def test_a_session_gets_what_counts_for_it_and_never_a_token():
    every = dict.fromkeys(NAMES, "x") | {"HOME": "/home/somebody", "PATH": "/bin"}

    given = session_environment(every)

    assert set(given) == {
        "HOME",
        "CODEX_HOME",
        "AGENT_RELAY_PROFILES_FILE",
        *(each.name for each in VARIABLES if each.reach is Reach.SESSION),
    }
    assert "AGENT_RELAY_TOKEN" not in given
