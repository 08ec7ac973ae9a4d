"""Requests: what answers them, and what of a turn is no answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub_kit import Hub, as_body, file_hub, memory_hub
from relay_core.errors import HubRefused
from relay_core.hub_api import ClaimRequest, MessageView, ReceiptFrame, TurnReport
from relay_core.messages import (
    AgentId,
    AttemptId,
    ClaimState,
    Credential,
    Delivery,
    DeliveryState,
    MessageId,
    RequestAnswer,
)
from relay_hub.callers import USER
from relay_hub.limits import Limits

SECRET = "what the user was told"
OWN_TURN: dict[str, object] = {"startedBy": "a1", "shared": False, "finalText": "it is Sunday"}


@pytest.fixture
async def asked(hub: Hub) -> int:
    """Agent `asker` has asked `a`, and its session has the question; the request's number."""
    return await ask_and_deliver(hub)


async def ask_and_deliver(hub: Hub) -> int:
    await hub.register("a")
    await hub.register("asker")
    sent = await hub.send("a", "which day is it?", sender="asker", type="request")
    await hub.inject("a", sent.deliveries[0].id)
    await hub.resolve("a", "a1", "delivered", turnId="t")
    return sent.id


async def end(hub: Hub, status: str = "completed", attempt: str = "a1", **fields: object) -> None:
    given = {"turnId": "t", "status": status, "agentId": "a", "epoch": hub.epochs["a"], **fields}
    report = as_body(TurnReport, given)
    await hub.service.deliveries.report_turn(AttemptId(attempt), report, USER)


async def shown(hub: Hub, number: int) -> MessageView:
    return await hub.service.messages.one(MessageId(number), USER)


async def answer(hub: Hub, number: int, agent: str = "a") -> RequestAnswer:
    delivery: Delivery = await hub.delivery(number, agent)
    assert delivery.answer is not None
    return delivery.answer


async def waited_for(hub: Hub, attempt: str = "a1") -> int | None:
    return (await hub.service.deliveries.awaited(AttemptId(attempt), USER)).message_id


async def test_the_first_reply_to_the_asker_is_the_answer(hub: Hub, asked: int):
    before = await answer(hub, asked)
    first = await hub.send("asker", "Sunday", sender="a", replyTo=asked)
    await hub.send("asker", "or Monday", sender="a", replyTo=asked)
    await end(hub, **OWN_TURN)

    after = await answer(hub, asked)
    assert (before.state, after.state, after.reply_id) == ("waiting", "answered", first.id)
    assert len(await hub.offers("asker")) == 2, "the turn's last words are no third answer"


async def test_a_message_to_somebody_else_or_of_somebody_else_is_no_answer(hub: Hub, asked: int):
    await hub.register("b")
    await hub.send("b", "do you know?", sender="a", replyTo=asked)
    await hub.send("asker", "I know", replyTo=asked, **{"from": "b"})
    await hub.send("asker", "a word of its own", sender="a")

    assert (await answer(hub, asked)).state == "waiting"


async def test_else_the_last_words_of_the_requests_own_turn_are_the_answer(hub: Hub, asked: int):
    waiting = await waited_for(hub)
    await end(hub, **OWN_TURN)

    found = await answer(hub, asked)
    assert (waiting, found.state, await waited_for(hub)) == (asked, "answered", None)
    reply = await shown(hub, found.reply_id or 0)
    assert (reply.from_, reply.to, reply.body) == ("a", "asker", "it is Sunday")
    assert (reply.reply_to, reply.type, json.loads(bytes(reply.meta))) == (
        asked,
        "reply",
        {"by": "final_message"},
    )
    assert (reply.sender.credential, reply.hop) == (Credential.AGENT, 1)
    assert [each.message.id for each in await hub.offers("asker")] == [reply.id]


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"status": "interrupted"}, "turn_interrupted"),
        ({"status": "failed"}, "turn_failed"),
        ({"startedBy": None}, "joined_a_turn"),
        ({"startedBy": "a2"}, "joined_a_turn"),
        ({"shared": True}, "shared_its_turn"),
        ({"finalText": None}, "no_final_message"),
        ({"finalText": " \n"}, "no_final_message"),
        ({"finalText": "x" * 300_000}, "body_too_large"),
    ],
    ids=str,
)
async def test_any_other_turn_ends_without_a_reply_and_starts_nothing(
    hub: Hub, asked: int, report: dict[str, object], reason: str
):
    frames = []
    hub.service.listening.open(USER, frames.append)
    await end(hub, **{**OWN_TURN, **report})

    found = await answer(hub, asked)
    assert (found.state, found.reason) == ("ended_without_reply", reason)
    assert await hub.offers("asker") == ()


async def test_a_report_that_does_not_say_whose_turn_it_was_answers_nothing(hub: Hub, asked: int):
    await end(hub, finalText=SECRET)

    assert (await answer(hub, asked)).reason == "joined_a_turn"


async def test_a_late_reply_still_answers(hub: Hub, asked: int):
    await end(hub, status="interrupted")
    late = await hub.send("asker", "Sunday", sender="a", replyTo=asked)

    found = await answer(hub, asked)
    assert (found.state, found.reply_id) == ("answered", late.id)


async def test_who_waits_is_told_at_once(hub: Hub, asked: int):
    frames: list[object] = []
    subscription = hub.service.listening.open(USER, frames.append)
    await hub.service.listening.watch(subscription, (AgentId("asker"),))
    await end(hub, **OWN_TURN)

    told = [each for each in frames if isinstance(each, ReceiptFrame)]
    assert {each.message_id for each in told} == {asked}


async def test_a_request_that_is_not_delivered_says_why(hub: Hub):
    await hub.register("a")
    sent = await hub.send("a", "?", type="request")
    await hub.service.messages.cancel(sent.id, USER)

    found = await answer(hub, sent.id)
    assert (found.state, found.reason) == ("not_delivered", "cancelled")


async def test_a_request_that_goes_out_again_waits_again(hub: Hub, asked: int):
    again = await hub.send("a", "?", sender="asker", type="request")
    await hub.inject("a", again.deliveries[0].id)
    await end(hub, status="interrupted", attempt="a2")
    await hub.resolve("a", "a2", "absent")

    assert (await answer(hub, again.id)).state == "waiting"


async def test_only_a_request_alone_in_its_attempt_is_waited_for(hub: Hub):
    await hub.register("a")
    request = await hub.send("a", "?", type="request")
    note = await hub.send("a", "!")
    other = await hub.send("a", "!")
    await hub.inject("a", request.deliveries[0].id, note.deliveries[0].id)
    await hub.inject("a", other.deliveries[0].id)
    await end(hub, **OWN_TURN)

    assert (await waited_for(hub, "a1"), await waited_for(hub, "a2")) == (None, None)
    assert (await answer(hub, request.id)).reason == "shared_its_turn"
    assert (await hub.delivery(note.id, "a")).answer is None
    with pytest.raises(HubRefused):
        await waited_for(hub, "a3")


async def test_the_limits_of_agents_hold_for_an_answer_that_nobody_typed():
    hub = await memory_hub(Limits(hops=0))
    asked = await ask_and_deliver(hub)
    await end(hub, **OWN_TURN)

    found = await answer(hub, asked)
    assert (found.state, found.reason) == ("ended_without_reply", "loop_guard")
    assert (await hub.delivery(asked, "a")).turn_status == "completed"
    await hub.close()


async def test_one_agent_answers_a_claimable_request_and_its_claim_is_over(hub: Hub):
    await hub.register("a")
    await hub.register("b")
    sent = await hub.send("broadcast", "?", type="request", claimable=True)
    await hub.service.claims.take(sent.id, hub.claiming("a"), USER)
    own = await hub.delivery(sent.id, "a")
    await hub.inject("a", own.id)
    await end(hub, **OWN_TURN)

    assert (await answer(hub, sent.id, "a")).state == "answered"
    other = await answer(hub, sent.id, "b")
    assert (other.state, other.reason) == ("not_delivered", "claimed_by_other")
    with pytest.raises(HubRefused) as held:
        await hub.service.claims.take(
            sent.id, as_body(ClaimRequest, {"agentId": "b", "epoch": 1}), USER
        )
    assert str(ClaimState.DONE) in held.value.detail


async def test_the_conversation_shows_what_was_answered(hub: Hub, asked: int):
    await end(hub, **OWN_TURN)
    request, reply = await hub.service.messages.thread(MessageId(asked), MessageId(0), 10, USER)

    assert request.deliveries[0].answer == RequestAnswer(state="answered", reply_id=reply.id)
    assert request.deliveries[0].state is DeliveryState.DELIVERED


async def test_what_was_answered_is_forgotten_with_its_conversation(hub: Hub, asked: int):
    await end(hub, **OWN_TURN)
    reply = (await answer(hub, asked)).reply_id or 0
    await hub.service.messages.cancel(MessageId(reply), USER)
    for _ in range(3):
        await hub.wait(40 * 24 * 3_600)
        await hub.wait(3_601)

    for number in (asked, reply):
        with pytest.raises(HubRefused):
            await shown(hub, number)


async def test_words_that_are_no_answer_are_nowhere_in_the_store(tmp_path: Path):
    with ThreadPoolExecutor(max_workers=1) as writer:
        hub = await file_hub(tmp_path / "hub.sqlite", writer)
        await ask_and_deliver(hub)
        await end(hub, startedBy=None, shared=True, finalText=SECRET)
        await hub.close()

    files = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each.is_file())
    assert b"which day is it?" in files
    assert SECRET.encode() not in files
