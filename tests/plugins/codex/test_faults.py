"""The adapter against an app-server that misbehaves in ways the real one cannot be made to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import unix_serve

from codex_watch import Watch, new_attempt, watch
from fake_app_server import FakeAppServer, Refusal, Silence, fake_app_server
from relay_core import (
    Absent,
    Activity,
    AdapterError,
    Found,
    InjectionRefused,
    SessionChanged,
    SessionClosed,
    SessionGone,
    SessionMoved,
    Unknown,
)
from relay_plugins.codex import client, looking

SAID = {
    "initialize",
    "initialized",
    "thread/loaded/list",
    "thread/read",
    "thread/turns/list",
    "thread/items/list",
    "thread/queue/list",
    "turn/start",
    "turn/steer",
    "turn/interrupt",
}


@pytest.fixture
async def fake(short_path: Path) -> AsyncIterator[FakeAppServer]:
    async with fake_app_server(short_path) as server:
        yield server
        assert server.strange == [], "nothing but calls with params, as text"
        assert set(server.methods()) <= SAID, "nothing that subscribes or answers"
        for method, params in server.asked:
            if method == "turn/start":
                assert set(params) == {"threadId", "input", "clientUserMessageId"}


@pytest.fixture
async def codex(fake: FakeAppServer) -> AsyncIterator[Watch]:
    async with watch(fake.codex_home) as watching:
        yield watching


@pytest.fixture
async def thread(fake: FakeAppServer, codex: Watch) -> str:
    await codex.attach(fake.address, fake.thread)
    return fake.thread


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls and looks give up soon."""
    monkeypatch.setattr(client, "CALL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(client, "OPEN_TIMEOUT_S", 0.3)
    monkeypatch.setattr(looking, "LIMIT_S", 1.5)


# Noise -------------------------------------------------------------------------------------------

NOISE: list[str | bytes] = [
    '{"id":1,"result":{"codexHome":"/another","userAgent":"y/1"}}',
    "",
    "hello",
    "{",
    "[]",
    "null",
    '{"id":999,"result":{}}',
    '{"id":null,"error":{}}',
    '{"id":"2","result":{}}',
    b'{"id":2,"result":{}}',
    b"\xff\xfe",
    '{"method":"no/such","params":{"x":1}}',
    '{"method":"thread/status/changed","params":{"threadId":5}}',
    '{"method":"thread/started","params":null}',
    '{"method":"thread/closed"}',
    '{"method":"item/commandExecution/requestApproval","id":2,"params":{}}',
    '{"method":"no/such/request","id":0,"params":{}}',
    "[" * 50_000,
]


async def test_noise_before_every_answer_changes_nothing(fake: FakeAppServer, codex: Watch):
    # Until the handshake is answered, an answer with its id is its answer.
    fake.before_each = lambda: NOISE if len(fake.asked) > 1 else NOISE[1:]
    await codex.attach(fake.address, fake.thread)
    attempt = new_attempt(fake.thread)

    handed = await codex.inject(attempt, "hello")

    assert handed.turn_id == "turn-1"
    assert await codex.find(attempt) == Found(turn_id="turn-1")


async def test_an_answer_given_twice_settles_one_call(
    fake: FakeAppServer, codex: Watch, thread: str
):
    plain = fake.start

    def twice(params: Mapping[str, Any]) -> Any:
        answer = plain(params)
        for connection in fake.connections:
            call = len([method for method, _ in fake.asked if method != "initialized"])
            repeated = json.dumps({"id": call, "result": {"turn": {"id": "turn-of-a-copy"}}})
            task = asyncio.ensure_future(connection.send(repeated))
            tasks.append(task)
        return answer

    tasks: list[asyncio.Future[None]] = []
    fake.handlers["turn/start"] = twice
    first, second = new_attempt(thread), new_attempt(thread)

    handed = [(await codex.inject(each, "hello")).turn_id for each in (first, second)]
    await asyncio.gather(*tasks)

    assert await codex.find(first) == Found(turn_id="turn-1")
    assert await codex.find(second) == Found(turn_id="turn-2")
    assert len(handed) == 2


async def test_a_page_with_items_of_every_kind_is_read(
    fake: FakeAppServer, codex: Watch, thread: str
):
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")
    fake.items += [
        {"turnId": "turn-1", "item": {"type": kind, "text": odd, "clientId": odd}, "more": odd}
        for kind in ("agentMessage", "noSuchItem", "userMessage")
        for odd in (None, 5, ["x"], {"y": 1}, "z" * 1000)
    ]
    fake.items[-1]["completedAtMs"] = "4000000000000"

    assert await codex.find(attempt) == Found(turn_id="turn-1")


async def test_ten_megabytes_of_history_are_read(fake: FakeAppServer, codex: Watch, thread: str):
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")
    fake.items.append({"turnId": "t", "item": {"type": "agentMessage", "text": "x" * 10_000_000}})

    assert await codex.find(attempt) == Found(turn_id="turn-1")


async def test_a_status_that_is_not_known_is_no_rest(
    fake: FakeAppServer, codex: Watch, thread: str
):
    await fake.set_status("brandNew")
    await codex.until_activity(Activity.IN_TURN)

    with pytest.raises(SessionMoved):
        await codex.inject(new_attempt(thread), "hello")


# No answer ---------------------------------------------------------------------------------------


def silent(_: Mapping[str, Any]) -> Any:
    raise Silence


async def test_a_call_without_an_answer_is_neither_taken_nor_refused(
    fake: FakeAppServer, codex: Watch, thread: str, hurried: None
):
    fake.handlers["turn/start"] = silent
    attempt = new_attempt(thread)

    with pytest.raises(AdapterError, match="not answered") as caught:
        await codex.inject(attempt, "hello")

    assert not isinstance(caught.value, SessionMoved | SessionGone | InjectionRefused)
    assert isinstance(await codex.find(attempt), Unknown), "its answer may still come"


async def test_a_late_answer_settles_its_own_attempt_and_no_other(
    fake: FakeAppServer, codex: Watch, thread: str, hurried: None
):
    fake.handlers["turn/start"] = silent
    late, prompt = new_attempt(thread), new_attempt(thread)
    with pytest.raises(AdapterError):
        await codex.inject(late, "hello")
    call = len([method for method, _ in fake.asked if method != "initialized"])
    fake.handlers["turn/start"] = fake.start
    (connection,) = fake.connections

    await connection.send(json.dumps({"id": call, "result": {"turn": {"id": "too-late"}}}))
    handed = await codex.inject(prompt, "hello")

    assert handed.turn_id == "turn-1"
    assert await codex.find(late) == Absent(reason="at_rest"), "nothing is under way any more"


async def test_a_connection_cut_inside_a_frame_fails_the_call_at_once(
    fake: FakeAppServer, codex: Watch, thread: str
):
    def cut(_: Mapping[str, Any]) -> Any:
        (connection,) = fake.connections
        connection.transport.write(b"\x81\x7e\x01")  # half a header of a text frame
        connection.transport.close()
        raise Silence

    fake.handlers["turn/start"] = cut
    attempt = new_attempt(thread)

    with pytest.raises(AdapterError, match="connection was lost") as caught:
        await codex.inject(attempt, "hello")
    fake.handlers["turn/start"] = fake.start
    await codex.until_activity(Activity.AWAY)
    await codex.until_activity(Activity.AT_REST)

    assert not isinstance(caught.value, SessionMoved)
    assert await codex.find(attempt) == Absent(reason="at_rest", agent_crashed=False)


async def test_an_answer_that_cannot_be_read_leaves_the_matter_to_the_history(
    fake: FakeAppServer, codex: Watch, thread: str
):
    def taken(params: Mapping[str, Any]) -> Any:
        fake.start(params)
        return {"turn": "all went well"}

    fake.handlers["turn/start"] = taken
    attempt = new_attempt(thread)

    with pytest.raises(AdapterError, match="cannot be read") as caught:
        await codex.inject(attempt, "hello")

    assert not isinstance(caught.value, SessionMoved | InjectionRefused)
    assert await codex.find(attempt) == Found(turn_id="turn-1")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"data": [], "nextCursor": "same"}, id="pages in a circle"),
        pytest.param({"data": None}, id="no list"),
        pytest.param({"data": [{"item": "text"}]}, id="no items"),
        pytest.param([], id="no page"),
    ],
)
async def test_a_history_that_cannot_be_read_to_the_end_is_no_proof_of_absence(
    fake: FakeAppServer, codex: Watch, thread: str, hurried: None, answer: object
):
    fake.handlers["thread/items/list"] = lambda _: answer

    assert isinstance(await codex.find(new_attempt(thread)), Unknown)


async def test_a_history_that_is_refused_is_no_proof_of_absence(
    fake: FakeAppServer, codex: Watch, thread: str, hurried: None
):
    def refuse(_: Mapping[str, Any]) -> Any:
        raise Refusal("<html>502</html>", -32603)

    fake.handlers["thread/items/list"] = refuse

    assert isinstance(await codex.find(new_attempt(thread)), Unknown)


async def test_a_thread_that_keeps_its_history_in_a_new_way_is_never_empty(
    fake: FakeAppServer, codex: Watch, thread: str, hurried: None
):
    def unsupported(_: Mapping[str, Any]) -> Any:
        raise Refusal("thread/items/list is not supported yet", -32601)

    fake.handlers["thread/items/list"] = unsupported
    shown = fake.shown()
    fake.handlers["thread/read"] = lambda _: {"thread": {**shown, "historyMode": "quantum"}}

    assert isinstance(await codex.find(new_attempt(thread)), Unknown)


async def test_one_page_after_the_other_is_read_until_the_attempt_is_found(
    fake: FakeAppServer, codex: Watch, thread: str
):
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")
    wanted = fake.items[0]
    other = {"turnId": "t", "item": {"type": "agentMessage"}}

    def page(params: Mapping[str, Any]) -> Any:
        number = int(params.get("cursor") or 0)
        data = [wanted] if number == 30 else [other] * int(params["limit"])
        return {"data": data, "nextCursor": str(number + 1)}

    fake.handlers["thread/items/list"] = page

    assert await codex.find(attempt) == Found(turn_id="turn-1")


async def test_a_long_command_that_is_listed_after_the_message_does_not_hide_it(
    fake: FakeAppServer, codex: Watch, thread: str
):
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")
    command = {"type": "commandExecution"}
    times = {"startedAtMs": 1_000, "completedAtMs": 4_000_000_000_001}
    fake.items += [{"turnId": "turn-1", "item": command, **times}] * 30

    assert await codex.find(attempt) == Found(turn_id="turn-1")


# Refusals ----------------------------------------------------------------------------------------


async def test_an_overloaded_codex_is_asked_again(fake: FakeAppServer, codex: Watch, thread: str):
    refusals = iter([Refusal("Server overloaded; retry later.", -32001)] * 2)

    def sometimes(params: Mapping[str, Any]) -> Any:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return fake.start(params)

    fake.handlers["turn/start"] = sometimes
    attempt = new_attempt(thread)

    assert (await codex.inject(attempt, "hello")).turn_id == "turn-1"
    assert fake.methods().count("turn/start") == 3


async def test_a_codex_that_stays_overloaded_is_a_session_that_moved(
    fake: FakeAppServer, codex: Watch, thread: str
):
    def never(_: Mapping[str, Any]) -> Any:
        raise Refusal("Server overloaded; retry later.", -32001)

    fake.handlers["turn/start"] = never

    with pytest.raises(SessionMoved):
        await codex.inject(new_attempt(thread), "hello")


async def test_a_thread_that_codex_has_not_loaded_is_gone_and_away(
    fake: FakeAppServer, codex: Watch, thread: str
):
    def gone(_: Mapping[str, Any]) -> Any:
        raise Refusal(f"thread not found: {thread}")

    fake.handlers["turn/start"] = gone

    with pytest.raises(SessionGone):
        await codex.inject(new_attempt(thread), "hello")

    assert (await codex.until_activity(Activity.AWAY)).key == thread


# Coming and going --------------------------------------------------------------------------------


async def test_a_handshake_that_is_refused_or_never_answered_is_told(
    fake: FakeAppServer, codex: Watch, hurried: None
):
    def refuse(_: Mapping[str, Any]) -> Any:
        raise Refusal("not today")

    for handler, said in ((refuse, "not today"), (silent, "no answer to the handshake")):
        fake.handlers["initialize"] = handler
        with pytest.raises(AdapterError, match=said):
            await codex.attach(fake.address, fake.thread)


async def test_a_socket_that_takes_connections_and_drops_them_is_told(
    codex: Watch, short_path: Path
):
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    path = short_path / "drops"
    server = await asyncio.start_unix_server(drop, path)
    async with server:
        with pytest.raises(AdapterError, match="no app-server answers"):
            await codex.attach(f"unix://{path}", "t")


async def test_a_thread_that_is_closed_is_away_and_comes_back(
    fake: FakeAppServer, codex: Watch, thread: str
):
    await fake.set_status("notLoaded")
    await fake.tell("thread/closed", {"threadId": thread})
    away = await codex.until_activity(Activity.AWAY)
    before = len(codex.events)
    await fake.set_status("idle")
    await codex.until_activity(Activity.AT_REST, after=before)

    assert away.key == thread
    assert not any(isinstance(event, SessionClosed) for event in codex.events)


async def test_a_thread_that_is_archived_is_closed(fake: FakeAppServer, codex: Watch, thread: str):
    await fake.tell("thread/archived", {"threadId": thread})

    assert await codex.until(SessionClosed) == SessionClosed(key=thread)


async def test_an_app_server_that_comes_back_is_found_again(
    codex: Watch, fake: FakeAppServer, thread: str
):
    for connection in list(fake.connections):
        await connection.close()
    await codex.until_activity(Activity.AWAY)

    back = await codex.until_activity(Activity.AT_REST)
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")

    assert back.key == thread
    assert isinstance(await codex.find(attempt), Found)


async def test_a_turn_that_reads_interrupted_after_a_system_error_is_read_again(
    fake: FakeAppServer, codex: Watch, thread: str
):
    turn = {"id": "turn-1", "status": "inProgress", "items": []}
    fake.turns.append(turn)
    await fake.set_status("active")
    await codex.until(SessionChanged, lambda event: event.turn is not None)
    readings = iter(["interrupted", "failed", "failed"])

    def listed(_: Mapping[str, Any]) -> Any:
        turn["status"] = next(readings, "failed")
        return {"data": [turn]}

    fake.handlers["thread/turns/list"] = listed
    await fake.set_status("systemError")

    assert (await codex.until_ended("turn-1")).status == "failed"


async def test_two_ways_to_one_thread_are_one_session(
    fake: FakeAppServer, codex: Watch, thread: str, short_path: Path
):
    other = FakeAppServer.__new__(FakeAppServer)
    other.__dict__ |= {**fake.__dict__, "path": short_path / "other", "connections": []}
    async with unix_serve(other.serve, str(other.path)):
        with pytest.raises(AdapterError, match="is served at") as caught:
            await codex.attach(other.address, thread)

    assert str(fake.path) in caught.value.detail
    assert len(codex.adapter.report()) == 1


async def test_a_lock_that_cannot_be_made_is_said_as_it_is(fake: FakeAppServer, codex: Watch):
    (fake.codex_home / "agent-relay").write_text("in the way")

    with pytest.raises(AdapterError, match=r"\.lock cannot be opened"):
        await codex.attach(fake.address, fake.thread)


async def test_a_socket_behind_a_link_with_a_long_path_is_reached(
    fake: FakeAppServer, codex: Watch, short_path: Path
):
    folder = short_path / ("long" * 30)
    folder.mkdir()
    link = folder / "app-server-control.sock"
    link.symlink_to(fake.path)

    assert await codex.attach(f"unix://{link}", fake.thread) == (fake.thread,)
    assert await codex.attach(fake.address, fake.thread) == (fake.thread,)
    assert len(codex.adapter.report()) == 1, "one app-server, whichever way one goes to it"


async def test_a_socket_whose_path_is_too_long_is_told(codex: Watch, short_path: Path):
    with pytest.raises(AdapterError, match="no app-server answers"):
        await codex.attach(f"unix://{short_path / ('x' * 120)}", "t")
