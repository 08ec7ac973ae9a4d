"""The stub model without a Codex: what it answers, what it remembers, how it ends."""

import gzip
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from relay_plugins.codex.testing import (
    BadDirective,
    Drop,
    Fail,
    Hang,
    HttpError,
    Late,
    Reply,
    Request,
    Say,
    ShellCall,
    Slow,
    StubModel,
    ToolCall,
    Until,
    config_toml,
    directive,
    write_config,
)


def _user(text: str) -> dict[str, object]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _ask(
    model: StubModel, *items: dict[str, object], tools: tuple[str, ...] = ()
) -> httpx.Response:
    body = {"model": "m", "input": list(items), "tools": [{"name": name} for name in tools]}
    return httpx.post(f"{model.base_url}/responses", json=body, timeout=30, trust_env=False)


def _events(response: httpx.Response) -> list[dict[str, object]]:
    lines = response.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def _said(response: httpx.Response) -> str:
    events = _events(response)
    return "".join(
        str(event["delta"]) for event in events if event["type"] == "response.output_text.delta"
    )


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("stub: say hello there", Say("hello there")),
        ("stub: say", Say()),
        ("stub: slow 3 0.5", Slow(3, 0.5)),
        ("stub: slow 3", Slow(3)),
        ("stub: slow", Slow()),
        ("stub: late 0.5", Late(0.5)),
        ("stub: shell ls -l", ShellCall("ls -l")),
        ("stub: escalate ls", ShellCall("ls", escalate=True)),
        ('stub: call f {"a": [1]}', ToolCall("f", '{"a": [1]}')),
        ("stub: fail some_code with words", Fail("some_code", "with words")),
        ("stub: fail", Fail()),
        ("stub: http 503", HttpError(503)),
        ("stub: drop", Drop()),
        ("stub: hang", Hang()),
        ("before\n│ stub: drop\nafter", Drop()),
        ("> stub: drop\n> stub: hang", Drop()),
        ("no directive", None),
        ("a stub: drop", None),
        ("stub:drop", None),
    ],
)
def test_a_directive_is_a_line_of_its_own_also_inside_a_fence(text: str, reply: Reply | None):
    assert directive(text) == reply


@pytest.mark.parametrize("text", ["stub: fly", "stub: slow many", "stub: shell", "stub: http x"])
def test_a_directive_that_makes_no_sense_is_refused_and_quoted(text: str):
    with pytest.raises(BadDirective) as caught:
        directive(text)

    assert caught.value.line == text


def test_the_default_reply_never_repeats_its_input():
    with StubModel() as model:
        assert "secret words" not in _ask(model, _user("secret words")).text


def test_a_queued_reply_comes_before_the_script_and_the_script_before_a_directive():
    with StubModel(lambda seen: Say("script") if seen.number < 3 else None, directives=True) as m:
        m.enqueue(Say("queue"))
        heard = [_said(_ask(m, _user("stub: say directive"))) for _ in range(3)]

    assert heard == ["queue", "script", "directive"]


def test_directives_are_ignored_unless_asked_for():
    with StubModel() as model:
        assert _ask(model, _user("stub: http 500")).status_code == 200


def test_only_the_newest_user_text_is_read_for_directives_and_only_before_a_tool_output():
    output = {"type": "function_call_output", "call_id": "c", "output": "stub: http 500"}
    with StubModel(directives=True) as model:
        assert _ask(model, _user("stub: http 500"), _user("go on")).status_code == 200
        assert _ask(model, _user("stub: http 500"), output).status_code == 200


def test_requests_are_remembered_flattened_and_counted():
    call = {"type": "function_call", "name": "f", "arguments": '{"x": "red"}'}
    output = {"type": "function_call_output", "output": [{"type": "text", "text": "red, red"}]}
    with StubModel() as model:
        _ask(model, _user("red"), tools=("exec_command",))
        _ask(model, _user("red"), call, output)
        httpx.get(f"{model.base_url}/models", trust_env=False)

        first, second = model.wait_for_requests(2)
        assert [seen.path for seen in model.all_requests()] == [
            "/v1/responses",
            "/v1/responses",
            "/v1/models",
        ]
        assert model.counts("red") == (1, 4)
    assert first.tools == ("exec_command",)
    assert first.newest_user_text == "red"
    assert second.newest_user_text is None
    assert [item.kind for item in second.items] == [
        "user",
        "function_call",
        "function_call_output",
    ]


def test_waiting_for_requests_that_do_not_come_tells_how_many_came():
    with StubModel() as model:
        _ask(model, _user("one"))
        with pytest.raises(TimeoutError, match="1 of 2 model requests"):
            model.wait_for_requests(2, timeout_s=0.01)


@pytest.mark.parametrize(
    ("offered", "name", "arguments"),
    [
        (("exec_command", "shell"), "exec_command", {"cmd": "ls"}),
        (("shell_command",), "shell_command", {"command": "ls"}),
        (("shell",), "shell", {"command": ["bash", "-lc", "ls"]}),
    ],
)
def test_a_shell_call_uses_the_shell_tool_that_is_offered(
    offered: tuple[str, ...], name: str, arguments: object
):
    with StubModel() as model:
        model.enqueue(ShellCall("ls"))
        done = _events(_ask(model, _user("x"), tools=offered))[-1]

    (call,) = done["response"]["output"]
    assert call["name"] == name
    assert json.loads(call["arguments"]) == arguments


def test_a_shell_call_can_ask_to_leave_the_sandbox():
    with StubModel() as model:
        model.enqueue(ShellCall("ls", escalate=True))
        done = _events(_ask(model, _user("x"), tools=("exec_command",)))[-1]

    arguments = json.loads(done["response"]["output"][0]["arguments"])
    assert arguments["sandbox_permissions"] == "require_escalated"


def test_a_failure_ends_the_stream_with_its_code():
    with StubModel() as model:
        model.enqueue(Fail("rate_limit_exceeded", "slow down"))
        last = _events(_ask(model, _user("x")))[-1]

    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}


def test_a_dropped_stream_ends_without_its_end():
    with StubModel() as model:
        model.enqueue(Drop())
        with pytest.raises(httpx.RemoteProtocolError):
            _ask(model, _user("x"))
        assert _said(_ask(model, _user("x")))


def test_a_slow_reply_is_the_deltas_it_was_told():
    with StubModel() as model:
        model.enqueue(Slow(4, 0.0))
        assert _said(_ask(model, _user("x"))).split() == [f"word-{number}" for number in range(4)]


def test_stopping_ends_a_reply_that_hangs():
    model = StubModel().start()
    model.enqueue(Hang())
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            _ask(model, _user("x"))
        ended.set()

    asking = threading.Thread(target=ask)
    asking.start()
    model.wait_for_requests(1)
    model.stop()
    asking.join(10)
    model.stop()

    assert ended.is_set()


def test_a_reply_with_a_gate_ends_when_the_gate_opens():
    gate = threading.Event()
    with StubModel() as model:
        model.enqueue(Until(gate, "open"))
        threading.Thread(target=lambda: (model.wait_for_requests(1), gate.set())).start()

        assert _said(_ask(model, _user("x"))) == "open"


def test_a_script_that_raises_is_heard_by_the_model_and_by_the_test():
    def broken(_: Request) -> Reply:
        raise LookupError("no reply for this")

    with pytest.raises(LookupError, match="no reply for this"), StubModel(broken) as model:
        assert _ask(model, _user("x")).status_code == 500


def test_a_bad_directive_is_heard_by_the_test():
    with pytest.raises(BadDirective), StubModel(directives=True) as model:
        assert _ask(model, _user("stub: fly")).status_code == 500


def test_a_compressed_and_a_chunked_body_are_understood():
    body = json.dumps({"input": [_user("hidden")]}).encode()
    url = "/responses"
    with StubModel() as model:
        compressed = {"content-encoding": "gzip"}
        httpx.post(
            model.base_url + url, content=gzip.compress(body), headers=compressed, trust_env=False
        )
        httpx.post(model.base_url + url, content=iter([body[:9], body[9:]]), trust_env=False)

        assert model.counts("hidden") == (1, 1)


@pytest.mark.parametrize(
    "sent",
    [
        b"what is this\r\n\r\n",
        b"POST /v1/responses HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST /v1/responses HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/responses HTTP/1.1\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx",
    ],
)
def test_a_broken_request_gets_a_400_and_the_next_one_is_served(sent: bytes):
    model = StubModel().start()
    port = int(model.base_url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        answered = connection.recv(100)
    served = _ask(model, _user("x"))
    model.stop()

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert served.status_code == 200


def test_a_port_that_is_taken_is_said_at_once():
    with StubModel() as model:
        port = int(model.base_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            StubModel(port=port).start()


def test_a_codex_home_that_is_somebodys_own_is_not_overwritten(tmp_path: Path):
    (tmp_path / "config.toml").write_text('model = "mine"\n')

    with pytest.raises(FileExistsError, match="was not written for tests"):
        write_config(tmp_path, config_toml("http://127.0.0.1:1/v1"))
    assert (tmp_path / "config.toml").read_text() == 'model = "mine"\n'


def test_our_own_config_can_be_written_again(tmp_path: Path):
    write_config(tmp_path, config_toml("http://127.0.0.1:1/v1"))
    write_config(tmp_path, config_toml("http://127.0.0.1:2/v1"))

    assert "127.0.0.1:2" in (tmp_path / "config.toml").read_text()


def test_the_command_line_runs_until_it_is_told_to_end(tmp_path: Path):
    home = tmp_path / "codex"
    command = [sys.executable, "-m", "relay_plugins.codex.testing", "--codex-home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = running.stdout.readline().split()[-1]
        assert str(home) in running.stdout.readline()
        body = {"input": [_user("stub: say heard")]}
        answer = httpx.post(f"{url}/responses", json=body, trust_env=False)
        told = running.stdout.readline()
        running.terminate()
        assert running.wait(20) == 0

    assert _said(answer) == "heard"
    assert told == "1: 'stub: say heard'\n"
    assert url in (home / "config.toml").read_text()
