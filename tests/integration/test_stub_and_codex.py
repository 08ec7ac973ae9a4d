"""The stub model and a real Codex understand each other; everything else stands on this."""

import asyncio
import threading
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from real_codex import Workplace
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import (
    AppServerClient,
    CodexServer,
    Drop,
    Fail,
    Hang,
    HttpError,
    RpcError,
    Say,
    ShellCall,
    StubModel,
    ToolCall,
    Until,
)
from relay_plugins.codex.testing.processes import lives


async def test_a_started_turn_is_listed_under_our_id_and_completes(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel, history_mode: str
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd, history_mode=history_mode)
        before = await codex.items(thread)
        turn = await codex.start_turn(thread, "what day is it", "relay:1")
        ended = await codex.turn_end(turn)
        items = await codex.user_items(thread)

        assert before == ()
        assert (await codex.read(thread)).history_mode == history_mode
    assert ended.status == "completed"
    assert [(item.client_id, item.text, item.turn_id) for item in items] == [
        ("relay:1", "what day is it", turn)
    ]
    assert stub_model.counts("what day is it") == (1,)


async def test_another_client_sees_the_same_history_without_a_subscription(
    codex_server: CodexServer, workplace: Workplace, history_mode: str
):
    async with codex_server.client() as user, codex_server.client() as onlooker:
        thread = await user.start_thread(workplace.cwd, history_mode=history_mode)
        await onlooker.start_turn(thread, "hello", "relay:1")
        item = await onlooker.listed(thread, "relay:1")
        await onlooker.rest(thread)

        assert thread in await onlooker.loaded()
    assert item.text == "hello"


async def test_a_shell_call_runs_and_its_output_goes_back_to_the_model(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    stub_model.enqueue(ShellCall("echo made > proof; echo told"), Say("done"))
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        ended = await codex.turn_end(await codex.start_turn(thread, "make a file"))

    assert ended.status == "completed"
    assert (workplace.cwd / "proof").read_text() == "made\n"
    _, second = stub_model.requests()
    assert second.newest_user_text is None
    assert second.count("told") == 2, "the call and its output"


async def test_any_function_can_be_called(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    stub_model.enqueue(ToolCall("get_goal", "{}"), Say("done"))
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        ended = await codex.turn_end(await codex.start_turn(thread, "what is the goal"))

    assert ended.status == "completed"
    output = stub_model.requests()[1].items[-1]
    assert output.kind == "function_call_output"
    assert output.text.startswith("{"), "the tool's own answer, in JSON"


@pytest.mark.parametrize("reply", [Fail(), HttpError(400), HttpError(500), Drop()], ids=repr)
async def test_a_failing_model_fails_the_turn_and_not_the_thread(
    codex_server: CodexServer,
    workplace: Workplace,
    stub_model: StubModel,
    reply: Fail | HttpError | Drop,
):
    stub_model.enqueue(reply)
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        failed = await codex.turn_end(await codex.start_turn(thread, "one"))
        after = await codex.turn_end(await codex.start_turn(thread, "two"))

    assert failed.status == "failed"
    assert after.status == "completed"


async def test_a_steer_joins_the_running_turn(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel, history_mode: str
):
    stub_model.enqueue(Until(threading.Event()), Say("both"))
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd, history_mode=history_mode)
        turn = await codex.start_turn(thread, "a long one", "relay:1")
        await stub_model.requests_reach(1)
        joined = await codex.steer(thread, turn, "and another", "relay:2")
        ended = await codex.turn_end(turn)
        items = await codex.user_items(thread)

    assert joined == turn
    assert ended.status == "completed"
    assert [(item.client_id, item.turn_id) for item in items] == [
        ("relay:1", turn),
        ("relay:2", turn),
    ]
    assert stub_model.counts("and another") == (0, 1)


async def test_a_turn_lasts_exactly_until_its_gate_opens(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    gate = threading.Event()
    stub_model.enqueue(Until(gate, "at last"))
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        turn = await codex.start_turn(thread, "wait")
        await stub_model.requests_reach(1)
        while_closed = await codex.turns(thread)
        gate.set()
        ended = await codex.turn_end(turn)

    assert [seen.status for seen in while_closed] == ["inProgress"]
    assert ended.status == "completed"


async def test_an_interrupt_ends_a_hanging_turn(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    stub_model.enqueue(Hang())
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        turn = await codex.start_turn(thread, "hang")
        await stub_model.requests_reach(1)
        await codex.interrupt(thread, turn)
        ended = await codex.turn_end(turn)

    assert ended.status == "interrupted"


async def test_codex_refuses_to_steer_a_turn_that_does_not_run(
    codex_server: CodexServer, workplace: Workplace
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        with pytest.raises(RpcError, match="no active turn to steer"):
            await codex.steer(thread, "no-such-turn", "too late")


async def test_history_survives_a_kill_and_a_restart_on_the_same_address(
    codex_server: CodexServer, workplace: Workplace, history_mode: str
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd, history_mode=history_mode)
        await codex.turn_end(await codex.start_turn(thread, "remember", "relay:1"))
    first = codex_server.pid
    await codex_server.restart()

    async with codex_server.client() as codex:
        assert (await codex.read(thread)).status.type == "notLoaded"
        await codex.resume(thread)
        await codex.turn_end(await codex.start_turn(thread, "and this", "relay:2"))
        items = await codex.user_items(thread)

    assert codex_server.pid != first
    assert [item.client_id for item in items] == ["relay:1", "relay:2"]


async def test_a_stopped_server_leaves_no_command_of_a_turn_running(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    stub_model.enqueue(ShellCall("echo $$ > pid; exec sleep 300"))
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        await codex.start_turn(thread, "run something long")
        pid = await _written(workplace.cwd / "pid")
    await codex_server.stop()

    assert not lives(int(pid))


async def test_a_server_on_tcp_asks_for_its_token(
    codex_binary: CodexBinary, workplace: Workplace, short_path: Path
):
    token_file = short_path / "token"
    token_file.write_text("sesame\n")
    server = CodexServer(codex_binary, workplace.codex_home, token_file=token_file)
    async with server:
        with pytest.raises(InvalidStatus):
            await server.client().open()
        async with server.client(token="sesame") as codex:
            thread = await codex.start_thread(workplace.cwd)
            address = server.address
            await server.restart()
        async with AppServerClient(server.address, token="sesame") as again:
            assert thread not in await again.loaded()

    assert server.address == address


async def test_codex_makes_no_model_request_that_nobody_asked_for(
    codex_server: CodexServer, workplace: Workplace, stub_model: StubModel
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        for number in range(3):
            await codex.turn_end(await codex.start_turn(thread, f"message {number}"))

    assert len(stub_model.requests()) == 3
    assert stub_model.counts("message 0") == (1, 1, 1)


async def _written(path: Path) -> str:
    async with asyncio.timeout(30):
        while True:
            if path.exists() and (text := path.read_text()):
                return text
            await asyncio.sleep(0.02)
