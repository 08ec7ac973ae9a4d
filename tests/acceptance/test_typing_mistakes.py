"""Whatever is typed, the answer is help or one line that says what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from user_commands import Relay, Typed

PROGRAMS = {
    "agent-relay": [
        "up",
        "down",
        "status",
        "demo",
        "agents",
        "send",
        "show",
        "inbox",
        "thread",
        "tail",
        "pair",
        "disconnect",
        "label",
        "tags",
        "cancel",
        "dead",
        "completion",
        "plugins",
        "token",
    ],
    "agent-relay-codex": ["attach", "detach", "status"],
}
COMMANDS = [(program, command) for program, names in PROGRAMS.items() for command in names]


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_arguments_a_program_shows_its_commands(typed: Typed, program: str):
    done = typed(program=program).worked()

    assert all(f"\n  {name} " in done.out for name in PROGRAMS[program])


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_each_command_has_help_that_starts_with_its_summary(
    typed: Typed, program: str, command: str
):
    listed = typed(program=program).worked().out
    summary = listed.split(f"\n  {command} ", 1)[1].split("\n", 1)[0].strip()

    shown = typed(command, "--help", program=program).worked().out
    assert "\\b" not in shown, "a mark for the layout is shown"

    assert summary.rstrip(".") in " ".join(shown.split())
    assert "--json" in shown


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_each_command_refuses_an_unknown_option(typed: Typed, program: str, command: str):
    line = typed(command, "--no-such-thing", program=program).failed(2)

    assert "--no-such-thing" in line


def test_the_version_is_shown(relay: Relay):
    assert relay("--version", apart=True).worked().out.startswith("agent-relay 0.")


def test_a_misspelt_command_names_the_one_that_was_meant(relay: Relay):
    assert "did you mean `send`?" in relay("sned", "x", "y").failed(2)


def test_a_lone_double_dash_shows_the_help(typed: Typed):
    assert "Usage" in typed("--").worked().out


@pytest.mark.parametrize("port", ["-1", "65536", "70000", "abc", "", "4850.0", "٤٨٥٠", "1_000"])
def test_a_port_that_is_none_is_refused(typed: Typed, port: str):
    assert "port" in typed("up", f"--port={port}").failed(2)


@pytest.mark.parametrize("number", ["007", "1.0", "-1", "0", "abc", "", "1e3", "١", str(2**63)])
def test_a_message_number_that_is_none_is_refused(typed: Typed, number: str):
    assert "no message number" in typed("show", "--", number).failed(2)


def test_a_message_that_looks_like_an_option_is_refused_with_the_way_to_send_it(typed: Typed):
    assert "`--`" in typed("send", "someone", "-hello").failed(2)


def test_a_token_on_the_command_line_is_refused(typed: Typed):
    line = typed("agents", "--token", "CANARY-secret").failed(2)

    assert "AGENT_RELAY_TOKEN" in line
    assert "CANARY" not in line


@pytest.mark.parametrize("target", ["", " ", "\t"])
def test_an_empty_target_is_refused(typed: Typed, target: str):
    assert "TARGET is empty" in typed("send", target, "hello").failed(2)


@pytest.mark.parametrize("body", ["", "  ", "\n"])
def test_an_empty_message_is_refused(typed: Typed, body: str):
    assert "empty" in typed("send", "someone", body).failed(2)


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b"", "empty"),
        (b"\xff\xfe binary", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b"x" * (64 * 1024**2 + 1), "64 MiB"),
    ],
)
def test_standard_input_that_is_no_message_is_refused(typed: Typed, stdin: bytes, told: str):
    assert told in typed("send", "someone", "-", stdin=stdin).failed(2)


def test_an_argument_that_is_no_text_is_refused(relay: Relay):
    assert "argument 3 is not valid UTF-8" in relay(
        "send", "someone", b"\xff\xfe", apart=True
    ).failed(2)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4850",
        "file:///etc/passwd",
        "http://user:CANARY@127.0.0.1:4850",
        "http://127.0.0.1:4850@evil.example",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:4850/path",
        "http://evil.example:4850",
        "ftp://127.0.0.1",
        "http://",
        "",
    ],
)
def test_an_address_that_is_no_hub_is_refused(typed: Typed, url: str):
    line = typed("agents", f"--url={url}").failed(2)

    assert "--url" in line
    assert "CANARY" not in line


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1",
        "http://127.0.0.1:1",
        "unix://relative",
        "ws://",
        "ws://192.0.2.1:80",
        "ws://127.0.0.1:1?c",
        "",
    ],
)
def test_an_address_that_is_no_app_server_is_refused(typed: Typed, address: str):
    assert "no address" in typed(
        "attach", f"--app-server={address}", program="agent-relay-codex"
    ).failed(2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("pair", "codex", "an objective"),
        ("pair", "accept"),
        ("pair", "send", "1", "text"),
        ("disconnect",),
        ("label",),
        ("tags",),
        ("/pair", "codex"),
        ("/disconnect",),
        ("/status",),
        ("/label", "x"),
        ("/tags", "a", "b"),
    ],
)
def test_a_command_that_needs_a_hub_says_how_to_start_one(typed: Typed, arguments: tuple[str, ...]):
    assert "agent-relay up" in typed(*arguments).failed(3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("/sned", "x"), "did you mean `send`?"),
        (("/",), "--help"),
        (("label", "--clear", "x"), "--clear"),
        (("label", " "), "--clear"),
        (("tags", "--clear", "x"), "--clear"),
        (("tags", ",", " "), "--clear"),
        (("pair", " ", "x"), "TARGET is empty"),
        (("pair", "send", "1", " "), "empty"),
        (("dead", "retry"), "--all"),
        (("dead", "retry", "1", "--all"), "--all"),
        (("dead", "drop", "1", "--agent", "x"), "--agent"),
        (("dead", "show", "x"), "no message number"),
        (("inbox", "operator", "--all", "--before", "3"), "--before"),
        (("inbox", "operator", "--limit", "0"), "--limit"),
        (("inbox", "operator", "--limit", "5", "--all"), "--limit"),
        (("inbox", "operator", "--limit", "5", "--since", "0"), "--limit"),
        (("inbox", ""), "empty"),
        (("send", "a", "x", "--from", ""), "empty"),
        (("label", "--as", " ", "x"), "empty"),
        (("tail", "--agent", ""), "empty"),
        (("dead", "--limit", "5", "list"), "list"),
        (("pair",), "TARGET"),
        (("pair", "accept", ""), "empty"),
        (("pair", "send", "1", "-x"), "`--`"),
        (("token", "new", ""), "empty"),
        (("/pair",), "TARGET"),
        (("tail", "--count", "0"), "--count"),
        (("thread", "x"), "no message number"),
        (("cancel", "0"), "no message number"),
        (("completion", "tcsh"), "bash"),
    ],
)
def test_what_makes_no_sense_is_refused(typed: Typed, arguments: tuple[str, ...], told: str):
    assert told in typed(*arguments).failed(2)


def test_detach_wants_to_know_what(typed: Typed):
    assert "--all" in typed("detach", program="agent-relay-codex").failed(2)
    assert "empty" in typed("detach", "", program="agent-relay-codex").failed(2)
    assert "--all" in typed("detach", "someone", "--all", program="agent-relay-codex").failed(2)


@pytest.mark.parametrize(
    "arguments",
    [("sned",), ("show", "x"), ("send", "a"), ("up", "--port", "x"), ("agents", "--nope")],
)
def test_with_json_a_mistake_is_one_object(relay: Relay, arguments: tuple[str, ...]):
    done = relay(*arguments, "--json")

    assert done.code == 2
    assert done.err == ""
    assert set(done.json["error"]) == {"code", "detail", "fix"}
    assert done.json["error"]["code"] == "usage"


def test_a_reader_that_goes_away_is_no_error(relay: Relay):
    script = f"{_program('agent-relay')} --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        env=relay.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_full_disk_is_one_line(relay: Relay):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [_program("agent-relay"), "plugins", "--json"],
            env=relay.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No space left" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_shown_in_any_encoding(relay: Relay, encoding: str):
    done = relay("sned\u202e✓", "--json", environ={"PYTHONIOENCODING": encoding}, apart=True)

    assert done.code == 2
    assert "sned\u202e✓" in json.loads(done.out)["error"]["detail"].replace("\\u202e", "\u202e")


def _program(name: str) -> str:
    return os.fspath(Path(sys.executable).parent / name)


def test_help_of_what_is_typed_often_imports_nothing_that_only_the_work_needs():
    script = (
        "import io, sys, contextlib\n"
        "from relay_cli.program import run\n"
        "from relay_cli.programs import AGENT_RELAY\n"
        "for name in AGENT_RELAY.places.keys() - {'config', 'demo', 'doctor', 'up'}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        assert run(AGENT_RELAY, [name, '--help']) == 0\n"
        "    slow = {'httpx', 'websockets', 'rich', 'starlette', 'uvicorn', 'sqlite3'}\n"
        "    assert not slow & set(sys.modules), (name, slow & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr


def test_json_before_a_command_of_token_is_told_where_it_belongs(typed: Typed):
    done = typed("token", "--json", "show")

    assert done.code == 2
    assert done.json["error"]["fix"] == "agent-relay token show --json"
