"""A session without a socket: what its app-server says is read as its own process would say it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import unix_connect

from codex_watch import RealClock, Watch, new_attempt, watch
from fake_app_server import FakeAppServer, Refusal, Silence, fake_app_server
from relay_core import Absent, Found
from relay_plugins.codex import client
from relay_plugins.codex.address import (
    Address,
    CodexProcess,
    Process,
    codex_above,
    has_client,
    started_s,
)
from relay_plugins.codex.client import CLIENT, CallRefused, Unanswered, greeted
from relay_plugins.codex.history import read_thread, recent_turns
from relay_plugins.codex.protocol import Protocol
from relay_plugins.codex.queueing import TAKEN_S, QueueConnection, Waiting
from relay_plugins.codex.sightings import Sighting, Sightings, recall, remember
from relay_plugins.codex.wire import (
    Empty,
    TextInput,
    TurnInterruptParams,
    TurnStartParams,
    TurnStartResult,
)

CUT = {"id": "turn-1", "status": "interrupted", "items": []}


class Queue:
    """The queue of the fake's one thread."""

    def __init__(self, fake: FakeAppServer) -> None:
        self.rows: list[dict[str, Any]] = []
        self.delete_says = True
        fake.handlers |= {
            "thread/queue/list": lambda _: {"data": self.rows},
            "thread/queue/add": self.add,
            "thread/queue/delete": self.delete,
        }

    def add(self, params: Mapping[str, Any]) -> Any:
        row = {"id": f"row-{len(self.rows)}", **params}
        self.rows.append(row)
        return {"queuedSubmission": row}

    def delete(self, params: Mapping[str, Any]) -> Any:
        self.rows = [row for row in self.rows if row["id"] != params["queuedSubmissionId"]]
        return {"deleted": self.delete_says}


@pytest.fixture
async def fake(short_path: Path) -> AsyncIterator[FakeAppServer]:
    async with fake_app_server(short_path) as server:
        server.status = {"type": "notLoaded"}
        yield server


@pytest.fixture
def queue(fake: FakeAppServer) -> Queue:
    return Queue(fake)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


@pytest.fixture
def owner(process: subprocess.Popen[bytes]) -> Process:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return Process(pid=process.pid, started=int(fields[19]))


@pytest.fixture
async def connection(
    fake: FakeAppServer, queue: Queue, owner: Process
) -> AsyncIterator[QueueConnection]:
    frames = await unix_connect(str(fake.path), "ws://localhost/")
    made = QueueConnection(
        frames,
        Protocol(CLIENT),
        lambda method, params: None,
        owners={fake.thread: owner},
        waiting=Waiting(),
        clock=RealClock(),
    )
    await greeted(made, Address(text="stdio:x"))
    yield made
    await made.close()


def start(fake: FakeAppServer, client_id: str = "relay:1") -> TurnStartParams:
    return TurnStartParams(
        thread_id=fake.thread, input=(TextInput(text="x"),), client_user_message_id=client_id
    )


async def test_a_thread_rests_while_its_process_lives_and_no_turn_runs(
    fake: FakeAppServer, connection: QueueConnection, process: subprocess.Popen[bytes]
):
    thread = await read_thread(connection, fake.thread)
    assert thread is not None
    assert thread.status.type == "idle"

    fake.turns.append({**CUT, "startedAt": time.time()})
    thread = await read_thread(connection, fake.thread)
    assert thread is not None
    assert thread.status.type == "active"
    assert (await recent_turns(connection, fake.thread))[0].running

    process.kill()
    process.wait()
    thread = await read_thread(connection, fake.thread)
    assert thread is not None
    assert thread.status.type == "notLoaded"
    assert not (await recent_turns(connection, fake.thread))[0].running


@pytest.mark.parametrize("turn", [{"startedAt": 1}, {"startedAt": 4e9, "completedAt": 4e9}])
async def test_a_turn_that_was_cut_off_in_an_earlier_life_or_has_ended_does_not_run(
    fake: FakeAppServer, connection: QueueConnection, turn: dict[str, float]
):
    fake.turns.append({**CUT, **turn})

    assert not (await recent_turns(connection, fake.thread))[0].running


async def test_a_start_is_put_into_the_queue_and_may_come_from_there(
    fake: FakeAppServer, queue: Queue, connection: QueueConnection
):
    await connection.call("turn/start", start(fake), TurnStartResult)

    assert [row["clientUserMessageId"] for row in queue.rows] == ["relay:1"]
    assert "turn/start" not in fake.methods()
    assert connection.may_come(fake.thread)


async def test_what_needs_a_socket_is_refused_unasked(
    fake: FakeAppServer, connection: QueueConnection
):
    params = TurnInterruptParams(thread_id=fake.thread, turn_id="turn-1")

    with pytest.raises(CallRefused, match="no socket"):
        await connection.call("turn/interrupt", params, Empty)

    assert "turn/interrupt" not in fake.methods()


async def test_an_addition_that_is_not_answered_is_ended_with_its_app_server(
    fake: FakeAppServer, connection: QueueConnection, monkeypatch: pytest.MonkeyPatch
):
    def silent(_: Mapping[str, Any]) -> Any:
        raise Silence

    fake.handlers["thread/queue/add"] = silent
    monkeypatch.setattr(client, "CALL_TIMEOUT_S", 0.2)

    with pytest.raises(Unanswered):
        await connection.call("turn/start", start(fake), TurnStartResult)

    assert not connection.open


async def test_only_what_is_ours_is_taken_out_when_the_process_is_gone(
    fake: FakeAppServer,
    queue: Queue,
    connection: QueueConnection,
    process: subprocess.Popen[bytes],
):
    for client_id in ("relay:1", "somebody-else", "relay:2"):
        await connection.call("turn/start", start(fake, client_id), TurnStartResult)
    process.kill()
    process.wait()

    await read_thread(connection, fake.thread)

    assert [row["clientUserMessageId"] for row in queue.rows] == ["somebody-else"]


def test_what_may_have_been_taken_is_waited_for_from_the_first_look_that_lacks_it():
    waiting = Waiting()
    assert waiting.may_come("t", 0), "an earlier host may have put something in"

    waiting.looked("t", 100, there=False)
    assert waiting.may_come("t", 100 + TAKEN_S - 1)
    assert not waiting.may_come("t", 100 + TAKEN_S)

    waiting.added("t")
    assert waiting.may_come("t", 1_000)
    waiting.looked("t", 2_000, there=True)
    assert waiting.may_come("t", 3_000)
    waiting.looked("t", 4_000, there=False)
    waiting.looked("t", 4_001, there=False)
    assert waiting.may_come("t", 4_000 + TAKEN_S - 1)
    assert not waiting.may_come("t", 4_000 + TAKEN_S)

    waiting.forget("t")
    assert waiting.may_come("t", 9_000)


# What another host left in the queue of a thread that is on a socket now -------------------------


@pytest.fixture
async def codex(fake: FakeAppServer, queue: Queue) -> AsyncIterator[Watch]:
    fake.status = {"type": "idle"}
    async with watch(fake.codex_home) as watching:
        await watching.attach(fake.address, fake.thread)
        yield watching


async def test_what_is_absent_is_taken_out_of_the_queue_first(
    fake: FakeAppServer, queue: Queue, codex: Watch
):
    attempt = new_attempt(fake.thread)
    queue.rows.append({"id": "row", "clientUserMessageId": f"relay:{attempt.id}"})

    assert isinstance(await codex.find(attempt), Absent)
    assert queue.rows == []


async def test_what_codex_took_out_itself_is_looked_for_again(
    fake: FakeAppServer, queue: Queue, codex: Watch
):
    attempt = new_attempt(fake.thread)
    queue.rows.append({"id": "row", "clientUserMessageId": f"relay:{attempt.id}"})

    def too_late(params: Mapping[str, Any]) -> Any:
        queue.delete(params)
        fake.start({"clientUserMessageId": f"relay:{attempt.id}"})
        return {"deleted": False}

    fake.handlers["thread/queue/delete"] = too_late

    assert await codex.find(attempt) == Found(turn_id="turn-1")


# Processes and memory ----------------------------------------------------------------------------


def test_the_codex_above_a_process_is_found_by_its_program(tmp_path: Path):
    copy = tmp_path / "codex-copy"
    copy.write_bytes(Path("/bin/sh").resolve().read_bytes())
    copy.chmod(0o700)
    script = "read x; true"
    with subprocess.Popen([copy, "-c", f"sh -c '{script}'; true"], stdin=subprocess.PIPE) as shell:
        child = _child_of(shell.pid)
        found = codex_above(child)
        shell.kill()
        os.kill(child, 9)

    assert found is not None
    assert (found.process.pid, found.binary) == (shell.pid, str(copy))
    assert codex_above(os.getpid()) is None
    assert codex_above(0) is None


def _child_of(pid: int) -> int:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    while not (children := listing.read_text().split()):
        time.sleep(0.01)
    return int(children[0])


def test_a_process_started_when_it_started(owner: Process):
    assert abs(time.time() - started_s(owner)) < 60


@pytest.mark.parametrize(
    ("arguments", "serves"),
    [(("app-server", "--listen", "unix://"), True), (("--no-daemon",), False)],
)
def test_an_app_server_serves_others(arguments: tuple[str, ...], *, serves: bool):
    codex = CodexProcess(process=Process(pid=1, started=1), binary="codex", arguments=arguments)

    assert codex.serves_others is serves


async def test_a_socket_has_a_client_when_somebody_is_connected(fake: FakeAppServer):
    assert not has_client(str(fake.path))
    async with unix_connect(str(fake.path), "ws://localhost/"):
        assert has_client(str(fake.path))


def test_what_hooks_have_told_is_kept_while_the_process_lives(
    tmp_path: Path, owner: Process, process: subprocess.Popen[bytes]
):
    file = tmp_path / "data" / "codex.json"
    codex = CodexProcess(process=owner, binary="/bin/codex")
    sighting = Sighting(thread_id="t", codex_home="/home", owner=codex)

    remember(file, Sightings().with_home(tmp_path).with_sighting(sighting))
    assert recall(file).alive() == (sighting,)
    assert recall(file).homes == (str(tmp_path),)
    assert file.stat().st_mode & 0o777 == 0o600

    process.kill()
    process.wait()
    assert recall(file).alive() == ()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"homes":[1]}', '{"embedded":[{}]}'])
def test_a_memory_that_cannot_be_read_is_empty(tmp_path: Path, content: str):
    file = tmp_path / "codex.json"
    file.write_text(content)

    assert recall(file) == Sightings()
    assert recall(None) == recall(tmp_path / "nowhere") == Sightings()


@pytest.mark.parametrize("method", ["thread/queue/list", "thread/queue/delete"])
async def test_what_may_still_wait_in_the_queue_is_not_absent(
    fake: FakeAppServer, queue: Queue, codex: Watch, method: str
):
    attempt = new_attempt(fake.thread)
    queue.rows.append({"id": "row", "clientUserMessageId": f"relay:{attempt.id}"})

    def overloaded(_: Mapping[str, Any]) -> Any:
        raise Refusal("overloaded", -32001)

    fake.handlers[method] = overloaded

    assert not isinstance(await codex.find(attempt), Absent)
