"""The process that Codex runs for a session's tools: with no host, a strange one, and bad lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay_plugins.codex import hook_launcher

FOLDER = Path(hook_launcher.__file__).parent
CALL = {"name": "relay_status", "arguments": {}, "_meta": {"threadId": "t", "callId": "c"}}
LIMIT_S = 60


class Pipe:
    """A running pipe, and the way to talk to it."""

    def __init__(self, control: Path, home: Path) -> None:
        self.control = control
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", FOLDER / "run_cached.py", FOLDER / "mcp_pipe.py", control],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A home whose settings cannot be read: the host that the pipe starts ends at once.
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
        )
        config = home / ".config" / "agent-relay" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("no [ toml")

    def write(self, *lines: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))
        self.process.stdin.flush()

    def ask(self, number: int, method: str, **params: Any) -> None:
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.write(json.dumps(request).encode())

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def worker(self) -> int:
        """The process that works, as soon as it is another one than the client started."""
        give_up = time.monotonic() + LIMIT_S
        while time.monotonic() < give_up:
            table = subprocess.check_output(["ps", "-Aww", "-o", "pid=,args="], text=True)
            rows = [row.split(maxsplit=1) for row in table.splitlines()]
            stays = next(row[1] for row in rows if row[0] == str(self.process.pid))
            found = [int(row[0]) for row in rows if row[-1].endswith(str(self.control))]
            if stays.endswith("agent-relay-tools") and found:
                return found[0]
            time.sleep(0.05)
        raise AssertionError("it has not moved")

    def end(self) -> tuple[list[dict[str, Any]], bytes]:
        """Close its stdin; what it said until it ended, and on its stderr."""
        out, err = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0
        return [json.loads(line) for line in out.splitlines()], err


@pytest.fixture
def control(short_path: Path) -> Path:
    folder = short_path / "s"
    folder.mkdir(mode=0o700)
    return folder / "h.sock"


@pytest.fixture
def pipe(control: Path, tmp_path: Path) -> Iterator[Pipe]:
    running = Pipe(control, tmp_path)
    yield running
    running.process.kill()
    running.process.wait(LIMIT_S)
    for stream in (running.process.stdin, running.process.stdout, running.process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    # The host that it tried to start may still be reading its settings.
    give_up = time.monotonic() + LIMIT_S
    while _of_home(tmp_path) and time.monotonic() < give_up:
        time.sleep(0.05)


def _of_home(home: Path) -> list[str]:
    """The processes that have this home."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


class Host(threading.Thread):
    """Listens on the control socket and answers each line as it is told."""

    def __init__(self, control: Path, *answers: bytes | None) -> None:
        super().__init__(daemon=True)
        self.lines: list[bytes] = []
        self._answers = list(answers)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(control))
        self._server.listen()
        self._server.settimeout(LIMIT_S)
        self.start()

    def run(self) -> None:
        for answer in self._answers:
            connection, _ = self._server.accept()
            with connection:
                self.lines.append(connection.makefile("rb").readline())
                if answer is not None:
                    connection.sendall(answer + b"\n")
        self._server.close()


def done(body: object) -> bytes:
    """What the real host writes."""
    inner = json.dumps(body).encode()
    return b'{"ok":true,"body":' + inner + b',"code":null,"detail":null,"fix":null}'


def test_a_line_is_carried_to_the_host_and_its_answer_back_as_they_are(control: Path, pipe: Pipe):
    host = Host(control, done({"jsonrpc": "2.0", "id": 1, "result": {"é": 1}}))
    pipe.ask(1, "tools/call", **CALL)

    assert pipe.read() == {"jsonrpc": "2.0", "id": 1, "result": {"é": 1}}
    carried = json.loads(host.lines[0])
    assert (carried["v"], carried["op"]) == (1, "codex.tools")
    assert carried["body"]["request"]["params"] == CALL
    assert carried["body"]["parent"] == os.getpid()
    assert pipe.end() == ([], b"")


def test_without_a_host_a_session_gets_its_tools_and_each_call_is_told_what_to_do(pipe: Pipe):
    pipe.ask(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
    started = pipe.read()
    pipe.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    pipe.ask(2, "tools/list")
    listed = pipe.read()
    pipe.ask(3, "ping")
    pinged = pipe.read()
    pipe.ask(4, "tools/call", **CALL)
    called = pipe.read()
    said, err = pipe.end()

    assert started["result"]["protocolVersion"] == "2025-06-18"
    assert {"relay_reply", "relay_send"} <= {tool["name"] for tool in listed["result"]["tools"]}
    assert pinged == {"jsonrpc": "2.0", "id": 3, "result": {}}
    assert called["id"] == 4
    assert called["result"]["isError"] is True
    assert "agent-relay up" in called["result"]["content"][0]["text"]
    assert (said, err) == ([], b"")


def test_what_is_no_request_is_answered_as_json_rpc_says_and_the_next_line_is_served(pipe: Pipe):
    pipe.write(
        b"garbage",
        b"[1,2]",
        b'{"id":NaN,"method":"ping"}',
        b"\xff\xfe",
        b'{"jsonrpc":"2.0","id":7}',
        b'{"jsonrpc":"2.0","id":8,"method":5}',
        b"[" * 100_000,
        b"x" * (2 * 1024 * 1024),
        b"",
        b'{"jsonrpc":"2.0","id":9,"result":{}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled"}',
    )
    pipe.ask(10, "ping")
    said, err = pipe.end()

    codes = [(one.get("id"), one.get("error", {}).get("code")) for one in said]
    assert codes == [
        *((None, -32700),) * 4,
        (7, -32600),
        (8, -32600),
        (None, -32700),
        (None, -32600),
        (10, None),
    ]
    assert err == b""


def test_a_slow_tool_keeps_no_other_line_waiting(control: Path, pipe: Pipe):
    slow = socket.socket(socket.AF_UNIX)
    slow.bind(str(control))
    slow.listen()
    pipe.ask(1, "tools/call", **CALL)
    held, _ = slow.accept()
    pipe.ask(2, "ping")
    quick, _ = slow.accept()
    with quick:
        assert b'"ping"' in quick.makefile("rb").readline()
        quick.sendall(done({"jsonrpc": "2.0", "id": 2, "result": {}}) + b"\n")

    assert pipe.read()["id"] == 2
    with held:
        held.sendall(done({"jsonrpc": "2.0", "id": 1, "result": {"slow": True}}) + b"\n")
    assert pipe.read()["result"] == {"slow": True}
    slow.close()


def test_an_answer_that_was_lost_with_its_host_is_asked_for_again_where_the_call_has_a_name(
    control: Path, pipe: Pipe
):
    host = Host(control, None, done({"jsonrpc": "2.0", "id": 1, "result": {}}), None)
    pipe.ask(1, "tools/call", **CALL)

    assert pipe.read()["result"] == {}
    assert host.lines[0] == host.lines[1]

    # Nothing names this one: nobody can tell whether it was done.
    pipe.ask(2, "tools/call", name="relay_send", arguments={})
    text = pipe.read()["result"]["content"][0]["text"]
    assert "whether it was done" in text
    assert len(host.lines) == 3


def test_a_host_that_refuses_is_quoted(control: Path, pipe: Pipe):
    refused = {"ok": False, "code": "unknown_op", "detail": "no such thing", "fix": "do this"}
    Host(control, json.dumps(refused).encode())
    pipe.ask(1, "tools/call", **CALL)

    result = pipe.read()["result"]
    assert result["isError"] is True
    assert "no such thing; do this" in result["content"][0]["text"]


def test_a_host_that_is_stopped_is_found_out(control: Path, pipe: Pipe):
    stuck = socket.socket(socket.AF_UNIX)
    stuck.bind(str(control))
    stuck.listen()
    pipe.ask(1, "tools/call", **CALL)

    assert "does not answer" in pipe.read()["result"]["content"][0]["text"]
    stuck.close()


def test_nothing_is_sent_into_a_folder_that_others_may_enter(control: Path, pipe: Pipe):
    host = Host(control, None)
    control.parent.chmod(0o755)
    pipe.ask(1, "tools/call", **CALL)

    assert "belongs to somebody else" in pipe.read()["result"]["content"][0]["text"]
    assert host.lines == []
    control.parent.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(control))
    host.join(LIMIT_S)


def test_the_host_that_it_starts_is_that_of_the_launcher_file(pipe: Pipe, tmp_path: Path):
    launcher = tmp_path / ".local" / "share" / "agent-relay" / "launcher"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f'#!/bin/sh\ncase "$1" in\n  host) touch {tmp_path}/started ;;\nesac\n')
    launcher.chmod(0o700)
    pipe.ask(1, "tools/call", **CALL)

    assert pipe.read()["result"]["isError"] is True
    assert (tmp_path / "started").exists()


def test_it_lives_until_its_stdin_ends(pipe: Pipe):
    pipe.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    time.sleep(0.1)
    assert pipe.process.poll() is None
    assert pipe.end() == ([], b"")


def test_a_client_that_goes_away_ends_it(pipe: Pipe):
    assert pipe.process.stdout is not None
    pipe.process.stdout.close()
    pipe.write(b"garbage")
    assert pipe.process.wait(LIMIT_S) in (0, -signal.SIGPIPE)


def test_in_a_quiet_moment_it_moves_into_a_process_that_has_mapped_little(
    control: Path, pipe: Pipe
):
    first = pipe.worker()
    host = Host(control, done({"jsonrpc": "2.0", "id": 1, "result": {}}))
    pipe.ask(1, "tools/call", **CALL)

    assert pipe.read()["result"] == {}
    assert json.loads(host.lines[0])["body"]["parent"] == os.getpid()
    assert first != pipe.process.pid
    give_up = time.monotonic() + LIMIT_S
    while pipe.worker() == first and time.monotonic() < give_up:
        time.sleep(0.05)
    assert pipe.worker() != first, "after work it has moved again"
    pipe.ask(2, "ping")
    assert pipe.read()["result"] == {}
    assert pipe.end() == ([], b"")


def test_what_the_client_started_ends_with_the_process_that_works(pipe: Pipe):
    os.kill(pipe.worker(), signal.SIGKILL)

    assert pipe.process.wait(LIMIT_S) == 0
    assert pipe.process.stdout is not None
    assert pipe.process.stdout.read() == b""
