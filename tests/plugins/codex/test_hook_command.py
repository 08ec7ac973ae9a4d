"""The command that Codex runs when a session starts: it never fails and never says too much."""

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from relay_core.control import Answer, body_of
from relay_plugins.codex import hook

FOLDER = Path(hook.__file__).parent
GIVEN = {
    "session_id": "01a20358-b396-7b30-9379-d1bd1a98895e",
    "transcript_path": "/c/sessions/2026/11/22/rollout.jsonl",
    "cwd": '/w "hook_event_name":"Stop"\n\\',
    "hook_event_name": "SessionStart",
    "model": "m",
    "permission_mode": "default",
    "source": "startup",
}
OUTPUT = {
    "hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": "Grüße\n\u2028\\"}
}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def text_of(printed: bytes) -> str:
    """Check that Codex would take it, and return what the session is told."""
    output = json.loads(printed)
    assert list(output) == ["hookSpecificOutput"]
    assert output["hookSpecificOutput"].pop("hookEventName") == "SessionStart"
    (text,) = output["hookSpecificOutput"].values()
    assert 0 < len(text) < 2000
    return str(text)


class StandIn:
    """Answers on a control socket what a test wants, and remembers what it was asked."""

    def __init__(self, path: Path, respond: Callable[[bytes], bytes | None]) -> None:
        path.parent.mkdir(mode=0o700)
        self.path = path
        self.lines: list[bytes] = []
        self._respond = respond
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        try:
            while True:
                client, _ = self._socket.accept()
                with client, client.makefile("rb") as stream:
                    self.lines.append(stream.readline())
                    answer = self._respond(self.lines[-1])
                    if answer is None:
                        stream.read()  # until the other side gives up
                    else:
                        client.sendall(answer)
        except OSError:
            pass  # closed


Start = Callable[[Callable[[bytes], bytes | None]], StandIn]


@pytest.fixture
def host(short_path: Path) -> Iterator[Start]:
    started: list[StandIn] = []

    def start(respond: Callable[[bytes], bytes | None]) -> StandIn:
        started.append(StandIn(short_path / "s" / "x.sock", respond))
        return started[-1]

    yield start
    for each in started:
        each.close()


def run(
    given: bytes | int, *arguments: object, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run it as the launcher does, but on a Python that would say if a file were left open."""
    command = [sys.executable, "-I", "-S", FOLDER / "run_cached.py", FOLDER / "hook.py", *arguments]
    feed = {"input": given} if isinstance(given, bytes) else {"stdin": given}
    done = subprocess.run(
        [str(each) for each in command],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
        **feed,  # type: ignore[call-overload]
    )
    assert done.returncode == 0
    assert done.stderr == b""
    return done


def accepted(body: object = OUTPUT) -> bytes:
    """What a host of this version writes."""
    return msgspec.json.encode(Answer(ok=True, body=body_of(body))) + b"\n"


def test_the_host_is_told_what_codex_said_and_who_started_the_hook(host: Start):
    there = host(lambda _: accepted())

    done = run(compact(GIVEN), there.path)

    (line,) = there.lines
    body = {"input": GIVEN, "parent": os.getpid()}
    assert json.loads(line) == {"v": 1, "op": "codex.hook", "body": body}
    assert json.loads(done.stdout) == OUTPUT


def test_a_description_over_several_lines_becomes_one(host: Start):
    there = host(lambda _: accepted())

    done = run(b"\n" + json.dumps(GIVEN, indent=1).encode() + b"\r\n", there.path)

    assert json.loads(there.lines[0])["body"]["input"] == GIVEN
    assert json.loads(done.stdout) == OUTPUT


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"body": OUTPUT, "later": [1], "ok": True}).encode() + b"\n",
        b'{"ok" : true, "body":' + compact(OUTPUT) + b"}\n",
    ],
)
def test_a_host_of_another_version_is_understood(host: Start, answer: bytes):
    there = host(lambda _: answer)

    assert json.loads(run(compact(GIVEN), there.path).stdout) == OUTPUT


@pytest.mark.parametrize(
    "answer",
    [
        msgspec.json.encode(Answer(ok=False, code="unknown_op")) + b"\n",
        b"nonsense\n",
        b"[1]\n",
        b'{"ok":true}\n',
        accepted("text"),
        b"[" * 100_000 + b"\n",
    ],
    ids=["unknown", "nonsense", "list", "empty", "text", "deep"],
)
def test_a_host_that_gives_no_context_leaves_the_usual_words(host: Start, answer: bytes):
    there = host(lambda _: answer)

    assert "agent-relay agents" in text_of(run(compact(GIVEN), there.path).stdout)


@pytest.mark.parametrize("answer", [None, b"", b"half a line"], ids=["never", "closed", "half"])
def test_a_host_that_does_not_answer_is_told_of_and_not_waited_for(
    host: Start, answer: bytes | None
):
    there = host(lambda _: answer)

    assert "does not answer" in text_of(run(compact(GIVEN), there.path).stdout)


def test_a_folder_that_others_may_enter_is_not_asked(host: Start):
    there = host(lambda _: accepted())
    there.path.parent.chmod(0o755)

    done = run(compact(GIVEN), there.path)

    assert "belongs to somebody else" in text_of(done.stdout)
    assert there.lines == []


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"\n\n",
        b"nonsense",
        b"[]",
        b"{}",
        b'"SessionStart"',
        b'{"SessionStart":1}',
        b'{"hook_event_name":["SessionStart"]}',
        b'{"a":"SessionStart"' + b"\0" * 100,
        compact({**GIVEN, "hook_event_name": "Stop"}),
        compact({**GIVEN, "hook_event_name": "Stop", "cwd": '"hook_event_name":"SessionStart"'}),
        b"{" * 200_000 + b'"SessionStart"}',
        compact({**GIVEN, "model": "m" * 2_000_000}),
        b"\xff" * 3_000_000,
    ],
    ids=lambda given: repr(given[:20]),
)
def test_what_is_no_starting_session_gets_nothing_and_asks_nobody(host: Start, given: bytes):
    there = host(lambda _: accepted())

    assert run(given, there.path).stdout == b""
    assert there.lines == []


@pytest.mark.parametrize("arguments", [(), ("/a", "/b")])
def test_a_launcher_that_it_does_not_know_gets_nothing(arguments: tuple[str, ...]):
    assert run(compact(GIVEN), *arguments).stdout == b""


def test_an_input_that_never_ends_is_not_waited_for(host: Start):
    there = host(lambda _: accepted())
    reading, writing = os.pipe()
    os.write(writing, b"{")

    done = run(reading, there.path)

    os.close(reading)
    os.close(writing)
    assert done.stdout == b""


def test_a_reader_that_went_away_is_no_trouble(host: Start):
    there = host(lambda _: accepted())
    reading, writing = os.pipe()
    os.close(reading)

    run(compact(GIVEN), there.path, stdout=writing)

    os.close(writing)


def test_it_imports_nothing_of_ours_and_little_of_python():
    code = (
        "import sys; before = set(sys.modules)\n"
        f"sys.argv = ['x', {str(FOLDER / 'hook.py')!r}]\n"
        "import posix; posix._exit = lambda status: print(sorted(set(sys.modules) - before))\n"
        f"exec(open({str(FOLDER / 'run_cached.py')!r}).read())\n"
    )

    printed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert set(ast.literal_eval(printed)) <= {"_socket", "select"}
