"""The Codex adapter while Codex is killed, restarted, shut down, locked, or found by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import msgspec
import pytest

from codex_watch import Watch, new_attempt, until, watch
from real_codex import Workplace
from relay_core import (
    Absent,
    Activity,
    AdapterError,
    Found,
    Mode,
    SessionChanged,
    SessionClosed,
    SessionMoved,
    SessionSeen,
    SessionTurnEnded,
    SettingsError,
    TurnStatus,
    Unknown,
)
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import (
    AppServerClient,
    CodexServer,
    Say,
    ShellCall,
    Slow,
    StubModel,
    Until,
)
from relay_plugins.codex.wire import ThreadParams


@pytest.fixture
async def thread(
    user: AppServerClient, codex: Watch, workplace: Workplace, history_mode: str
) -> str:
    """A thread with one turn, attached by its id."""
    made = await user.start_thread(workplace.cwd, history_mode=history_mode)
    turn = await user.start_turn(made, "the user's first words")
    await user.turn_end(turn)
    await codex.attach(workplace.socket, made)
    return made


async def resumed(server: CodexServer, thread: str) -> AppServerClient:
    """Do what a terminal UI does when its server comes back."""
    client = server.client(name="codex-tui")
    await client.open()
    await client.resume(thread)
    return client


# Kills and restarts ------------------------------------------------------------------------------


async def test_a_message_whose_codex_was_killed_after_its_answer_is_found_or_absent_as_it_is(
    codex: Watch, thread: str, codex_server: CodexServer
):
    attempt, second = new_attempt(thread), new_attempt(thread)
    handed = await codex.inject(attempt, "the one in doubt")
    await codex_server.kill()
    before = len(codex.events)
    await codex.until_activity(Activity.AWAY)
    gone = await codex.find(attempt)
    with pytest.raises(SessionMoved):
        await codex.inject(second, "nobody is there")

    await codex_server.start()
    await until(lambda: any(each.connected for each in codex.adapter.report()))
    not_loaded = await codex.find(attempt)
    client = await resumed(codex_server, thread)
    await codex.until_activity(Activity.AT_REST, after=before)
    evidence = await codex.find(attempt)
    listed = [item.client_id for item in await client.user_items(thread)]
    await codex.inject(second, "and now")

    assert isinstance(gone, Unknown)
    if f"relay:{attempt.id}" in listed:
        assert evidence == Found(turn_id=handed.turn_id)
    else:
        assert isinstance(not_loaded, Unknown)
        assert evidence == Absent(reason="agent_restarted", agent_crashed=True)
    assert isinstance(await codex.find(second), Found)
    await client.close()


async def test_a_steer_that_died_with_codex_is_absent_and_its_turn_is_nobodys_interrupt(
    codex: Watch,
    thread: str,
    codex_server: CodexServer,
    stub_model: StubModel,
    workplace: Workplace,
):
    stub_model.enqueue(ShellCall("touch on; sleep 60"))
    first = new_attempt(thread)
    handed = await codex.inject(first, "ours, long")
    assert isinstance(await codex.find(first), Found)
    await until((workplace.cwd / "on").exists)
    second = new_attempt(thread)
    await codex.inject(second, "by the way", Mode.STEER, handed.turn_id)
    before = len(codex.events)
    await codex_server.restart()
    client = await resumed(codex_server, thread)

    await codex.until_activity(Activity.AT_REST, after=before)
    ended = await codex.until_ended(handed.turn_id)

    assert await codex.find(second) == Absent(reason="agent_restarted", agent_crashed=True)
    assert (ended.status, ended.interrupted_by_us) == (TurnStatus.INTERRUPTED, None)
    assert ended.attempts == (first.id,)
    await client.close()


def cut_after_the_models_copy(codex_home: Path, thread: str, marker: str) -> None:
    """Leave a rollout as a kill does between the two writes of one message."""
    (rollout,) = codex_home.glob(f"sessions/*/*/*/*{thread}.jsonl")
    kept: list[bytes] = []
    for line in rollout.read_bytes().splitlines(keepends=True):
        kept.append(line)
        if marker.encode() in line and json.loads(line)["type"] == "response_item":
            break
    rollout.write_bytes(b"".join(kept))
    for index in codex_home.glob("thread_history_*"):
        index.unlink()  # Codex makes it anew from the rollout


async def test_what_a_killed_codex_left_of_a_message_is_not_read_twice_by_the_model(
    codex: Watch,
    user: AppServerClient,
    codex_server: CodexServer,
    stub_model: StubModel,
    workplace: Workplace,
):
    thread = await user.start_thread(workplace.cwd)
    await user.turn_end(await user.start_turn(thread, "the user's first words"))
    await codex.attach(workplace.socket, thread)
    attempt, again = new_attempt(thread), new_attempt(thread)
    handed = await codex.inject(attempt, f"the message [{attempt.id}]")
    await codex.until_ended(handed.turn_id)
    await codex_server.kill()
    cut_after_the_models_copy(workplace.codex_home, thread, attempt.id)
    before, asked = len(codex.events), len(stub_model.requests())
    await codex_server.start()
    client = await resumed(codex_server, thread)
    await codex.until_activity(Activity.AT_REST, after=before)
    listed = [item.text for item in await client.user_items(thread)]

    assert isinstance(await codex.find(attempt), Absent)
    await until(lambda: codex.adapter.report()[0].threads[0].activity is Activity.AT_REST)
    await codex.inject(again, f"the message [{again.id}]")
    assert isinstance(await codex.find(again), Found)
    await stub_model.requests_reach(asked + 1)

    assert listed == ["the user's first words"]
    assert stub_model.requests()[-1].count("the message") == 1
    assert stub_model.requests()[-1].count("the user's first words") == 1
    # Taking it back subscribed the adapter for a moment.
    server = codex.adapter._servers.server_of(thread)
    assert server is not None
    assert server.connection is not None
    answer = await server.connection.call(
        "thread/unsubscribe", ThreadParams(thread_id=thread), dict[str, msgspec.Raw]
    )
    assert bytes(answer["status"]) == b'"notSubscribed"'
    await client.close()


async def test_what_a_killed_codex_left_in_the_users_own_turn_stays_and_is_said(  # noqa: PLR0917
    codex: Watch,
    thread: str,
    user: AppServerClient,
    codex_server: CodexServer,
    stub_model: StubModel,
    workplace: Workplace,
):
    stub_model.enqueue(ShellCall("touch on; while [ ! -e go ]; do sleep 0.05; done"), Say("done"))
    turn = await user.start_turn(thread, "the user's own")
    await until((workplace.cwd / "on").exists)
    attempt = new_attempt(thread)
    await codex.inject(attempt, f"the message [{attempt.id}]", Mode.STEER, turn)
    (workplace.cwd / "go").touch()
    await codex.until_ended(turn)
    await codex_server.kill()
    cut_after_the_models_copy(workplace.codex_home, thread, attempt.id)
    before = len(codex.events)
    await codex_server.start()
    client = await resumed(codex_server, thread)
    await codex.until_activity(Activity.AT_REST, after=before)

    evidence = await codex.find(attempt)
    listed = [item.text for item in await client.user_items(thread)]

    assert isinstance(evidence, Absent)
    assert evidence.reason == "left_with_the_model"
    assert listed == ["the user's first words", "the user's own"], "nothing of the user's is taken"
    await client.close()


async def test_after_a_restart_a_thread_is_away_until_somebody_loads_it(
    codex: Watch, thread: str, codex_server: CodexServer
):
    await codex_server.kill()
    await codex.until_activity(Activity.AWAY)
    before = len(codex.events)
    await codex_server.start()
    await until(lambda: "codex resume" in str(codex.adapter.report()[0].threads[0].trouble))
    (server,) = codex.adapter.report()
    away = [event for event in codex.events[before:] if isinstance(event, SessionChanged)]
    client = await resumed(codex_server, thread)
    await codex.until_activity(Activity.AT_REST, after=before)

    assert server.threads[0].activity is Activity.AWAY
    assert away == [], "it stayed away"
    await client.close()


async def test_a_turn_of_ours_that_ended_while_no_host_was_there_is_told_to_the_next(
    workplace: Workplace, user: AppServerClient, stub_model: StubModel, history_mode: str
):
    thread = await user.start_thread(workplace.cwd, history_mode=history_mode)
    gate = threading.Event()
    stub_model.enqueue(Until(gate, "told late"))
    attempt = new_attempt(thread)
    async with watch(workplace.codex_home) as first:
        await first.attach(workplace.socket, thread)
        handed = await first.inject(attempt, "a question")
        await user.listed(thread, f"relay:{attempt.id}")
    gate.set()
    await user.rest(thread)

    async with watch(workplace.codex_home) as second:
        await second.attach(workplace.socket, thread)
        evidence = await second.find(attempt)
        ended = await second.until_ended(handed.turn_id)

        assert evidence == Found(turn_id=handed.turn_id)
        assert (ended.started_by, ended.final_text) == (attempt.id, "told late")
        assert len(second.of(SessionTurnEnded, thread)) == 1


async def test_a_host_that_died_before_it_sent_finds_its_attempt_absent(
    workplace: Workplace, user: AppServerClient, history_mode: str
):
    thread = await user.start_thread(workplace.cwd, history_mode=history_mode)
    attempt = new_attempt(thread)
    async with watch(workplace.codex_home) as next_host:
        await next_host.attach(workplace.socket, thread)

        assert await next_host.find(attempt) == Absent(reason="at_rest")


async def test_a_codex_that_shuts_down_takes_nothing_and_its_running_turn_ends_in_peace(
    codex: Watch,
    thread: str,
    user: AppServerClient,
    codex_server: CodexServer,
    stub_model: StubModel,
):
    gate = threading.Event()
    stub_model.enqueue(Until(gate, "done"))
    first, second = new_attempt(thread), new_attempt(thread)
    handed = await codex.inject(first, "ours")
    await codex.find(first)
    await stub_model.requests_reach(2)
    ending = asyncio.create_task(codex_server.terminate())
    await asyncio.sleep(0.3)  # Codex has to take the signal before it refuses
    before = len(codex.events)

    with pytest.raises(SessionMoved, match="draining"):
        await codex.inject(second, "too late", Mode.STEER, handed.turn_id)
    await codex.until_activity(Activity.AWAY, after=before - 1)
    gate.set()
    code = await ending
    after = [event for event in codex.events[before:] if isinstance(event, SessionChanged)]
    await codex_server.start()
    # Codex ends with the turn: how it ended is read when Codex is back, loaded or not.
    ended = await codex.until_ended(handed.turn_id)

    assert code == 0
    assert {event.activity for event in after} == {Activity.AWAY}
    assert (ended.status, ended.final_text) == (TurnStatus.COMPLETED, "done")
    assert ended.attempts == (first.id,)


# More than one host ------------------------------------------------------------------------------


async def test_a_second_host_waits_for_the_thread_and_gets_it_when_the_first_ends(
    workplace: Workplace, user: AppServerClient
):
    thread = await user.start_thread(workplace.cwd)
    async with watch(workplace.codex_home) as second:
        async with watch(workplace.codex_home) as first:
            await first.attach(workplace.socket, thread)
            with pytest.raises(AdapterError, match="another host serves"):
                await second.attach(workplace.socket, thread)
            await second.attach(workplace.socket)
            locked = [each.locked for each in second.adapter.report()]
            seen = list(second.events)

        await second.seen(thread)
        attempt = new_attempt(thread)
        await second.inject(attempt, "from the second")
        assert isinstance(await second.find(attempt), Found)

    assert locked == [(thread,)]
    assert seen == []
    assert (workplace.codex_home / "agent-relay" / f"{thread}.lock").exists()


async def test_a_detached_thread_is_let_go_and_can_be_attached_again(
    codex: Watch, thread: str, workplace: Workplace
):
    await codex.adapter.detach(thread)
    closed = await codex.until(SessionClosed)
    with pytest.raises(AdapterError):
        await codex.inject(new_attempt(thread), "nobody listens")
    reports = codex.adapter.report()
    before = len(codex.events)
    await codex.attach(workplace.socket, thread)

    assert closed.key == thread
    assert reports == ()
    await codex.until(SessionSeen, after=before)


# Which threads -----------------------------------------------------------------------------------


async def test_helper_threads_are_nobodys_sessions(
    codex: Watch, user: AppServerClient, workplace: Workplace
):
    helper = {"cwd": str(workplace.cwd), "ephemeral": True}
    await user.call("thread/start", helper)
    thread = await user.start_thread(workplace.cwd)

    attached = await codex.attach(workplace.socket)
    await user.call("thread/start", helper)
    later = await user.start_thread(workplace.cwd)
    await codex.seen(later)

    assert attached == (thread,)
    assert len(await user.loaded()) == 4
    assert {event.key for event in codex.events} == {thread, later}


async def test_sessions_of_plain_codex_are_found_by_themselves_and_are_unattended(
    codex_binary: CodexBinary, workplace: Workplace
):
    folder = workplace.codex_home / "app-server-control"
    async with watch(workplace.codex_home, discover=True) as codex:
        folder.mkdir()
        address = f"unix://{folder / 'app-server-control.sock'}"
        server = CodexServer(codex_binary, workplace.codex_home, address=address, cwd=workplace.cwd)
        async with server, server.client(name="codex-tui") as user:
            thread = await user.start_thread(workplace.cwd)
            seen = await codex.seen(thread)
            (report,) = codex.adapter.report()
            attempt = new_attempt(thread)
            await codex.inject(attempt, "its first turn")
            evidence = await codex.find(attempt)
            await codex.attach(address, thread)
            attended = await codex.until(SessionSeen, lambda event: event.attended)
        await codex.until_activity(Activity.AWAY)

    assert not seen.attended
    assert report.discovered
    assert isinstance(evidence, Found)
    assert attended.key == thread


# The way in --------------------------------------------------------------------------------------


@pytest.fixture
def token_file(short_path: Path) -> Path:
    file = short_path / "token"
    file.write_text("correct-horse-battery\n")
    file.chmod(0o600)
    return file


async def test_an_app_server_on_a_port_wants_its_token(
    codex_binary: CodexBinary, workplace: Workplace, token_file: Path
):
    server = CodexServer(
        codex_binary, workplace.codex_home, cwd=workplace.cwd, token_file=token_file
    )
    wrong = token_file.with_name("wrong")
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    async with server, server.client(token="correct-horse-battery") as user:
        thread = await user.start_thread(workplace.cwd)
        async with watch(workplace.codex_home) as codex:
            for file, said in ((None, "missing"), (wrong, "invalid")):
                with pytest.raises(AdapterError, match=f"401: {said}") as caught:
                    await codex.attach(server.address, thread, file)
                assert "--token-file" in str(caught.value.fix)
            await codex.attach(server.address, thread, token_file)
            attempt = new_attempt(thread)
            await codex.inject(attempt, "through TCP")

            assert isinstance(await codex.find(attempt), Found)
            assert "correct-horse" not in repr(codex.adapter.report())


async def test_what_cannot_be_attached_is_said_in_one_line_and_nothing_is_kept(
    codex: Watch, codex_server: CodexServer, workplace: Workplace, short_path: Path
):
    unknown = "01a20238-55cd-79d2-ad22-fc94608eaedc"
    with pytest.raises(AdapterError, match="knows no thread"):
        await codex.attach(workplace.socket, unknown)
    with pytest.raises(AdapterError, match="no app-server answers") as nobody:
        await codex.attach(f"unix://{short_path / 'nobody'}", unknown)
    for request in ("nowhere", "ws://example.org:1"):
        with pytest.raises(SettingsError):
            await codex.attach(request)
    with pytest.raises(SettingsError):
        await codex.attach(workplace.socket, "../../etc/passwd")

    assert "\n" not in str(nobody.value)
    assert codex.adapter.report() == ()
    assert codex.events == []


async def test_text_is_still_streaming_when_the_adapter_is_closed_and_goes_on(
    workplace: Workplace, user: AppServerClient, stub_model: StubModel
):
    stub_model.enqueue(Slow(10, 0.05), Say("never needed"))
    thread = await user.start_thread(workplace.cwd)
    async with watch(workplace.codex_home) as codex:
        await codex.attach(workplace.socket, thread)
        handed = await codex.inject(new_attempt(thread), "something long")

    assert handed.turn_id is not None
    assert (await user.turn_end(handed.turn_id)).status == "completed"
