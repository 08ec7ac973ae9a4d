"""The Codex adapter on a real Codex: a message becomes a turn, and its proof is Codex's history."""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial

import msgspec
import pytest

from codex_watch import Watch, new_attempt, until
from real_codex import Workplace
from relay_core import (
    Absent,
    Activity,
    Found,
    InjectionRefused,
    Mode,
    Provenance,
    SessionChanged,
    SessionMoved,
    SessionSeen,
    SessionTurnEnded,
    Steering,
    TurnStatus,
)
from relay_plugins.codex.testing import (
    AppServerClient,
    CodexServer,
    Fail,
    Say,
    ShellCall,
    Slow,
    StubModel,
    Until,
)


@pytest.fixture
async def thread(
    user: AppServerClient, codex: Watch, workplace: Workplace, history_mode: str
) -> str:
    """A thread without a turn, attached by its id."""
    made = await user.start_thread(workplace.cwd, history_mode=history_mode)
    assert await codex.attach(workplace.socket, made) == (made,)
    return made


# At rest -----------------------------------------------------------------------------------------


async def test_a_thread_without_a_turn_is_a_session_at_rest(
    codex: Watch, thread: str, workplace: Workplace
):
    seen = await codex.seen(thread)

    assert seen.activity is Activity.AT_REST
    assert (seen.cwd, seen.provider, seen.attended) == (str(workplace.cwd), "codex", True)
    assert seen.approval is None, "nobody can know it before the first turn"


async def test_at_rest_a_message_becomes_a_turn_of_its_own_and_is_proved(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    stub_model.enqueue(Say("it is Sunday"))
    attempt = new_attempt(thread)

    handed = await codex.inject(attempt, "what day is it")
    evidence = await codex.find(attempt)
    ended = await codex.until_ended(handed.turn_id)
    await codex.until_activity(Activity.AT_REST)

    assert evidence == Found(turn_id=handed.turn_id)
    assert not handed.steered
    assert ended == SessionTurnEnded(
        key=thread,
        turn_id=handed.turn_id or "",
        status=TurnStatus.COMPLETED,
        provenance=Provenance.OURS,
        interrupted_by_us=False,
        attempts=(attempt.id,),
        started_by=attempt.id,
        other_user_messages=False,
        final_text="it is Sunday",
    )
    items = await user.user_items(thread)
    assert [(item.client_id, item.text) for item in items] == [
        (f"relay:{attempt.id}", "what day is it")
    ]
    assert stub_model.counts("what day is it") == (1,)


async def test_the_mode_that_a_session_really_has_is_read_from_its_first_turn(
    codex: Watch, thread: str
):
    attempt = new_attempt(thread)
    await codex.inject(attempt, "hello")

    seen = await codex.until(SessionSeen, lambda event: event.approval is not None)

    assert seen.approval == "open"


async def test_an_attempt_that_was_never_sent_is_absent(codex: Watch, thread: str):
    assert await codex.find(new_attempt(thread)) == Absent(reason="at_rest")
    sent = new_attempt(thread)
    await codex.inject(sent, "hello")
    assert isinstance(await codex.find(sent), Found)
    assert await codex.find(new_attempt(thread)) == Absent(reason="at_rest")


async def test_an_older_message_is_still_found_behind_many_items(
    codex: Watch, thread: str, stub_model: StubModel
):
    stub_model.enqueue(*(ShellCall(f"echo {number}") for number in range(12)), Say("done"))
    first = new_attempt(thread)
    handed = await codex.inject(first, "count")
    await codex.until_ended(handed.turn_id)

    assert await codex.find(first) == Found(turn_id=handed.turn_id)


async def test_a_turn_is_not_started_while_one_is_running(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    gate = threading.Event()
    stub_model.enqueue(Until(gate))
    await user.start_turn(thread, "the user's own")
    await codex.until_activity(Activity.IN_TURN)

    with pytest.raises(SessionMoved):
        await codex.inject(new_attempt(thread), "not now")
    gate.set()
    await user.rest(thread)

    assert len(await user.user_items(thread)) == 1


async def test_a_text_that_codex_cannot_take_is_refused_for_good_and_nothing_is_sent(
    codex: Watch, thread: str, user: AppServerClient
):
    for text in ("x" * 1_048_577, "half a \ud800 character"):
        with pytest.raises(InjectionRefused) as caught:
            await codex.inject(new_attempt(thread), text)
        assert caught.value.permanent
    attempt = new_attempt(thread)
    await codex.inject(attempt, "x" * 1_048_576)

    assert isinstance(await codex.find(attempt), Found)
    assert len(await user.user_items(thread)) == 1


async def test_a_failed_turn_is_told_and_the_next_one_starts(
    codex: Watch, thread: str, stub_model: StubModel
):
    stub_model.enqueue(Fail())
    attempt, second = new_attempt(thread), new_attempt(thread)
    handed = await codex.inject(attempt, "this will fail")

    ended = await codex.until_ended(handed.turn_id)
    await codex.until_activity(Activity.AT_REST)
    await codex.inject(second, "and this not")

    assert (ended.status, ended.attempts) == (TurnStatus.FAILED, (attempt.id,))
    assert isinstance(await codex.find(second), Found)


# During a turn -----------------------------------------------------------------------------------


async def test_a_users_turn_is_told_with_its_id_and_as_a_sign_of_the_user(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    gate = threading.Event()
    stub_model.enqueue(Until(gate, "for the user alone"))
    turn = await user.start_turn(thread, "the user's own")

    changed = await codex.until(SessionChanged, lambda event: event.sign_of_user)
    gate.set()
    ended = await codex.until_ended(turn)

    assert changed.turn is not None
    assert (changed.turn.id, changed.turn.provenance) == (turn, Provenance.USERS)
    assert (ended.provenance, ended.attempts) == (Provenance.USERS, ())
    assert sum(event.sign_of_user for event in codex.of(SessionChanged, thread)) == 1


async def test_a_message_is_steered_into_streaming_text_and_proved(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    stub_model.enqueue(Slow(400, 0.05), Say("both"))
    turn = await user.start_turn(thread, "the user's own")
    await stub_model.requests_reach(1)
    await codex.until(SessionChanged, lambda event: event.turn is not None)
    attempt = new_attempt(thread)

    handed = await codex.inject(attempt, "by the way", Mode.STEER, turn)
    evidence = await codex.find(attempt)
    ended = await codex.until_ended(turn)

    assert (handed.turn_id, handed.steered) == (turn, True)
    assert evidence == Found(turn_id=turn)
    assert (ended.provenance, ended.attempts) == (Provenance.USERS, (attempt.id,))
    assert (ended.started_by, ended.other_user_messages) == (None, True)
    assert ended.final_text == "both"


async def test_a_message_steered_into_a_shell_call_is_unknown_until_the_call_ends(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel, workplace: Workplace
):
    stub_model.enqueue(ShellCall("touch on; while [ ! -e go ]; do sleep 0.05; done"), Say("done"))
    turn = await user.start_turn(thread, "wait for it")
    await until((workplace.cwd / "on").exists)  # a command of the turn is running now
    await codex.until(SessionChanged, lambda event: event.turn is not None)
    attempt = new_attempt(thread)

    await codex.inject(attempt, "by the way", Mode.STEER, turn)
    looking = asyncio.create_task(codex.find(attempt))
    early, _ = await asyncio.wait({looking}, timeout=2)
    listed = [item.client_id for item in await user.user_items(thread)]
    (workplace.cwd / "go").touch()

    assert not early, "nothing can be known before the call ends"
    assert listed == [None]
    assert await looking == Found(turn_id=turn)


def _was_asked(model: StubModel, text: str) -> bool:
    return sum(model.counts(text)) > 0


async def test_what_joins_a_turn_at_its_very_end_is_read_by_the_model(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    """Codex 0.163 takes some of these in and ends the turn: they stand in the thread, unread."""
    taken: list[str] = []
    chance = random.Random(1)
    for number in range(40):
        text, own = f"by the way {number}.", f"the user's own {number}."
        turn = await user.start_turn(thread, own)
        while not _was_asked(stub_model, own):
            await asyncio.sleep(0.0005)  # aimed: the model's answer is on its way
        await asyncio.sleep(chance.random() * 0.012)
        attempt = new_attempt(thread)
        try:
            await codex.inject(attempt, text, Mode.STEER, turn)
        except SessionMoved:
            continue
        assert await codex.find(attempt) == Found(turn_id=turn)
        await until(partial(_was_asked, stub_model, text))
        taken.append(text)
        await user.rest(thread)

    assert taken
    listed = [item.text for item in await user.user_items(thread)]
    assert [text for text in listed if text in taken] == taken, "each is there once"


async def test_a_steer_that_vanished_with_the_users_interrupt_is_absent(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel, workplace: Workplace
):
    stub_model.enqueue(ShellCall("touch on; sleep 60"))
    turn = await user.start_turn(thread, "wait for it")
    await until((workplace.cwd / "on").exists)  # a command of the turn is running now
    await codex.until(SessionChanged, lambda event: event.turn is not None)
    attempt = new_attempt(thread)
    await codex.inject(attempt, "by the way", Mode.STEER, turn)

    looking = asyncio.create_task(codex.find(attempt))
    await user.interrupt(thread, turn)
    ended = await codex.until_ended(turn)

    assert await looking == Absent(reason="turn_ended")
    assert (ended.status, ended.interrupted_by_us) == (TurnStatus.INTERRUPTED, False)
    assert ended.attempts == ()
    place = codex.events.index(ended)
    resting = [
        event
        for event in codex.events[:place]
        if isinstance(event, SessionChanged) and event.activity is Activity.AT_REST
    ]
    assert not resting, "that the user stopped it is known before the thread is free"


async def test_our_interrupt_ends_the_turn_and_the_message_starts_the_next(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    stub_model.enqueue(Slow(400, 0.05), Say("at once"))
    turn = await user.start_turn(thread, "something long")
    await stub_model.requests_reach(1)
    await codex.until(SessionChanged, lambda event: event.turn is not None)
    attempt = new_attempt(thread)

    await codex.adapter.interrupt(thread, turn)
    handed = await codex.inject(attempt, "urgent", Mode.INTERRUPT, turn)
    evidence = await codex.find(attempt)
    ended = await codex.until_ended(turn)

    assert (ended.status, ended.interrupted_by_us) == (TurnStatus.INTERRUPTED, True)
    assert handed.turn_id != turn
    assert not handed.steered
    assert evidence == Found(turn_id=handed.turn_id)


async def test_a_turn_that_has_ended_cannot_be_steered_and_nothing_is_lost(
    codex: Watch, thread: str, user: AppServerClient
):
    turn = await user.start_turn(thread, "short")
    await codex.until_ended(turn)
    attempt = new_attempt(thread)

    with pytest.raises(SessionMoved):
        await codex.inject(attempt, "too late", Mode.STEER, turn)

    assert await codex.find(attempt) == Absent(reason="at_rest")


async def test_a_review_takes_no_input_and_the_session_says_so(
    codex: Watch, thread: str, user: AppServerClient, stub_model: StubModel
):
    gate = threading.Event()
    first = await user.start_turn(thread, "hello")
    await codex.until_ended(first)
    before = len(codex.events)
    stub_model.enqueue(Until(gate))
    target = {"type": "custom", "instructions": "look at it"}
    await user.call("review/start", {"threadId": thread, "target": target, "delivery": "inline"})
    changed = await codex.until(SessionChanged, lambda event: event.turn is not None, after=before)
    assert changed.turn is not None

    with pytest.raises(SessionMoved):
        await codex.inject(new_attempt(thread), "by the way", Mode.STEER, changed.turn.id)
    during = codex.adapter.describe(thread).steer
    gate.set()
    ended = await codex.until_ended(changed.turn.id)
    await codex.until(
        SessionChanged, lambda event: event.activity is Activity.AT_REST, after=before
    )

    assert during is Steering.NONE
    assert ended.status is TurnStatus.COMPLETED
    assert {event.turn_id for event in codex.of(SessionTurnEnded, thread)} == {first, ended.turn_id}
    assert codex.adapter.describe(thread).steer is Steering.LIVE


async def test_an_approval_is_left_to_the_user(
    codex: Watch, user: AppServerClient, workplace: Workplace, stub_model: StubModel
):
    thread = await user.start_thread(
        workplace.cwd, approval_policy="on-request", sandbox="read-only"
    )
    await codex.attach(workplace.socket, thread)
    stub_model.enqueue(ShellCall("touch made", escalate=True), Say("done"))
    turn = await user.start_turn(thread, "make a file")
    asked = await user.until("item/commandExecution/requestApproval")
    await codex.until_activity(Activity.WAITING_FOR_USER)
    attempt = new_attempt(thread)
    await codex.inject(attempt, "by the way", Mode.STEER, turn)
    looking = asyncio.create_task(codex.find(attempt))
    await asyncio.wait({looking}, timeout=1)
    waiting = (await user.read(thread)).status.active_flags

    # The requests of the server have their own numbers, from 0.
    await user._send({"id": 0, "result": {"decision": "accept"}})
    ended = await codex.until_ended(turn)

    assert asked.method
    assert waiting == ("waitingOnApproval",), "nobody but the user settles it"
    assert await looking == Found(turn_id=turn)
    assert ended.status is TurnStatus.COMPLETED
    assert (workplace.cwd / "made").exists()


async def test_the_adapter_is_never_subscribed(
    codex: Watch, thread: str, codex_server: CodexServer, user: AppServerClient
):
    for number in range(3):
        attempt = new_attempt(thread)
        handed = await codex.inject(attempt, f"number {number}")
        await codex.find(attempt)
        await codex.until_ended(handed.turn_id)
        await codex.until_activity(Activity.AT_REST, after=len(codex.events) - 1)

    # What `thread/unsubscribe` tells is told per connection: ask on the adapter's own.
    server = codex.adapter._servers.server_of(thread)
    assert server is not None
    assert server.connection is not None
    from relay_plugins.codex.wire import ThreadParams

    answer = await server.connection.call(
        "thread/unsubscribe", ThreadParams(thread_id=thread), dict[str, msgspec.Raw]
    )
    assert bytes(answer["status"]) == b'"notSubscribed"'
