"""Work that ends: the sender has the result, nothing is stuck, and every hand-over is on record."""

import json
from pathlib import Path

import pytest

from hub_kit import Hub, agent_caller, as_body, memory_hub, served_hub
from relay_core.errors import HubRefused
from relay_core.hub_api import (
    ClaimRequest,
    RegisterRequest,
    SendRequest,
    TurnReport,
    VerdictRequest,
)
from relay_core.hub_client import HubClient
from relay_core.messages import (
    OPERATOR,
    AgentId,
    AttemptId,
    ClaimState,
    Credential,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
)
from relay_core.work import GOING_ON
from relay_hub.callers import USER
from relay_hub.limits import Limits

LARGEST = MessageId(2**53 - 1)


async def refused(call) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await call
    return caught.value


@pytest.fixture
async def crew(hub: Hub) -> Hub:
    for name in ("a", "b"):
        await hub.register(name, tags=["t"])
    await hub.register("asker")
    return hub


async def handed_out(hub: Hub, sender: str | None = "asker", **fields: object) -> int:
    """A claimable message for `a` and `b`, which `a` has taken and has in its session."""
    sent = await hub.send("tag:t", "do it", claimable=True, sender=sender, **fields)
    await hub.claim("take", sent.id, "a", kept=True)
    delivery = await hub.delivery(sent.id, "a")
    attempt = await hub.inject("a", delivery.id)
    await hub.resolve("a", attempt.id, "delivered", turnId="t")
    return sent.id


async def mail(hub: Hub, name: str = "asker") -> list[Message]:
    return [offer.message for offer in await hub.offers(name)]


async def history(hub: Hub, number: int) -> list[tuple[str, str | None, int]]:
    view = await hub.service.claims.one(MessageId(number), USER)
    return [(step.event, step.agent_id, step.token) for step in view.events]


async def states(hub: Hub, number: int) -> dict[str, tuple[str, str | None]]:
    view = await hub.service.messages.one(MessageId(number), USER)
    return {each.agent_id: (each.state, each.reason) for each in view.deliveries}


async def end_turn(hub: Hub, name: str = "a", attempt: str = "a1", **fields: object) -> None:
    given = {"turnId": "t", "status": "completed", "agentId": name, "epoch": hub.epochs[name]}
    report = as_body(TurnReport, {**given, **fields})
    await hub.service.deliveries.report_turn(AttemptId(attempt), report, USER)


# Results -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "state"), [("complete", "done"), ("fail", "failed")])
async def test_the_sender_gets_the_result_as_one_message_of_the_holders_own(
    crew: Hub, verb: str, state: str
):
    number = await handed_out(crew)
    ended = [await crew.claim(verb, number, "a", result="it is 42") for _ in range(2)]

    (result,) = await mail(crew)
    assert (result.type, result.body, result.from_) == ("result", "it is 42", "a")
    assert (result.reply_to, result.conversation_id) == (number, number)
    assert json.loads(bytes(result.meta)) == {"state": state}
    assert result.sender.credential is Credential.AGENT
    assert ended[0] == ended[1]
    assert (ended[0].state, ended[0].result_id, ended[0].not_sent) == (state, result.id, None)


@pytest.mark.parametrize("result", [None, "", "  \n"])
async def test_work_that_ends_without_a_result_sends_nothing(crew: Hub, result: str | None):
    number = await handed_out(crew)
    ended = await crew.claim("complete", number, "a", result=result)

    assert (ended.state, ended.result, ended.result_id) == (ClaimState.DONE, None, None)
    assert await mail(crew) == []


async def test_the_operator_finds_the_result_in_the_inbox(crew: Hub):
    number = await handed_out(crew, sender=None)
    ended = await crew.claim("complete", number, "a", result="done so")

    inbox = await crew.service.messages.inbox(OPERATOR, MessageId(0), 10, USER)
    assert [(each.id, each.body) for each in inbox] == [(ended.result_id, "done so")]


async def test_a_result_is_the_answer_to_a_claimable_request(crew: Hub):
    number = await handed_out(crew, type="request")
    ended = await crew.claim("complete", number, "a", result="Sunday")
    await end_turn(crew, startedBy="a1", shared=False, finalText="I have said it")

    answer = (await crew.delivery(number, "a")).answer
    assert answer is not None
    assert (answer.state, answer.reply_id) == ("answered", ended.result_id)
    assert len(await mail(crew)) == 1


async def test_a_request_that_has_its_answer_gets_no_other_by_a_result(crew: Hub):
    number = await handed_out(crew, type="request")
    reply = await crew.send("asker", "Sunday", sender="a", replyTo=number)
    ended = await crew.claim("complete", number, "a", result="as I said")

    answer = (await crew.delivery(number, "a")).answer
    assert answer is not None
    assert answer.reply_id == reply.id
    assert (ended.state, ended.result_id) == (ClaimState.DONE, None)
    assert len(await mail(crew)) == 1


async def test_a_result_that_the_limits_refuse_stays_with_the_claim():
    hub = await memory_hub(Limits(recipient_queue=1))
    for name in ("a", "b"):
        await hub.register(name, tags=["t"])
    await hub.register("asker")
    number = await handed_out(hub)
    await hub.send("asker", "something before")
    ended = [await hub.claim("complete", number, "a", result="it is 42") for _ in range(2)]

    assert [each.not_sent for each in ended] == ["recipient_full"] * 2
    assert (ended[0].state, ended[0].result, ended[0].result_id) == ("done", "it is 42", None)
    assert len(await mail(hub)) == 1
    await hub.close()


async def test_a_chain_of_results_is_stopped_like_any_other(crew: Hub):
    replying = (await crew.send("a", "0", sender="b")).id
    for hop in range(8):
        sender, target = ("a", "b") if hop % 2 == 0 else ("b", "a")
        replying = (await crew.send(target, "x", sender=sender, replyTo=replying)).id
    number = (await crew.send("a", "go on", claimable=True, replyTo=replying, **{"from": "b"})).id
    await crew.claim("take", number, "a")
    ended = await crew.claim("complete", number, "a", result="and on")

    assert (ended.state, ended.not_sent) == (ClaimState.DONE, "loop_guard")


async def test_a_sender_that_is_gone_keeps_no_work_from_ending(crew: Hub):
    number = await handed_out(crew)
    await crew.service.agents.remove(AgentId("asker"), USER)
    ended = await crew.claim("complete", number, "a", result="for whom?")

    assert (ended.state, ended.not_sent) == (ClaimState.DONE, "sender_gone")


async def test_a_store_without_room_ends_the_work_and_sends_nothing():
    hub = await memory_hub(Limits(store_bytes=0))
    for name in ("a", "b"):
        await hub.register(name, tags=["t"])
    number = await handed_out(hub, sender=None)
    await hub.service.sweep()
    ended = await hub.claim("complete", number, "a", result="it is 42")

    assert (ended.state, ended.not_sent) == (ClaimState.DONE, "storage")
    await hub.close()


async def test_a_result_is_as_large_as_a_body_and_no_larger(crew: Hub):
    number = await handed_out(crew)
    error = await refused(crew.claim("complete", number, "a", result="x" * 262_145))
    ended = await crew.claim("complete", number, "a", result="x" * 262_144)

    assert (error.status, error.code) == (413, "body_too_large")
    assert ended.result_id is not None


@pytest.mark.parametrize("verb", ["complete", "fail"])
async def test_a_former_holder_and_an_old_token_send_no_result(crew: Hub, verb: str):
    number = await handed_out(crew)
    await crew.wait(61)
    taken = await crew.claim("take", number, "b")
    late = await refused(crew.claim(verb, number, "a", result="late"))
    renewed = await crew.claim("renew", number, "b")
    old = await refused(crew.claim(verb, number, "b", result="old", token=taken.token))
    ended = await crew.claim(verb, number, "b", result="right", token=renewed.token)
    after = await refused(crew.claim(verb, number, "a", result="later"))
    older = await refused(crew.claim(verb, number, "b", result="old", token=taken.token))

    assert [each.code for each in (late, old, after, older)] == ["stale_claim"] * 4
    assert [each.body for each in await mail(crew)] == ["right"]
    assert ended.result == "right"


# Nothing is stuck ------------------------------------------------------------------------------


async def test_a_release_that_is_repeated_is_done_until_the_agent_takes_it_again(crew: Hub):
    number = await handed_out(crew)
    first = await crew.claim("release", number, "a", token=1)
    again = await crew.claim("release", number, "a", token=1)
    await crew.claim("take", number, "b")
    while_b_has_it = await crew.claim("release", number, "a")
    await crew.claim("release", number, "b")
    taken = await crew.claim("take", number, "a")
    last = await crew.claim("release", number, "a")

    assert first == again
    assert (while_b_has_it.state, while_b_has_it.agent_id) == (ClaimState.HELD, "b")
    assert (taken.state, last.state, last.token) == ("held", "open", taken.token + 1)


async def test_who_never_held_it_or_lost_it_releases_nothing(crew: Hub):
    number = await handed_out(crew)
    never = await refused(crew.claim("release", number, "b"))
    await crew.wait(61)
    lost = await refused(crew.claim("release", number, "a"))

    assert [never.code, lost.code] == ["stale_claim", "stale_claim"]


async def test_work_that_everybody_gave_back_can_be_taken_again(crew: Hub):
    sent = await crew.send("tag:t", claimable=True)
    for name in ("a", "b"):
        await crew.claim("take", sent.id, name)
        await crew.claim("release", sent.id, name)
    before = await states(crew, sent.id)
    taken = await crew.claim("take", sent.id, "a")

    assert before == {"a": ("skipped", "released"), "b": ("skipped", "released")}
    assert taken.state is ClaimState.HELD
    assert await states(crew, sent.id) == {"a": ("leased", None), "b": ("skipped", "released")}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "interrupted"},
        {"startedBy": "a1", "shared": True, "finalText": "for the user"},
        {"startedBy": "a1", "shared": False, "finalText": ""},
    ],
)
async def test_a_claimable_request_whose_turn_gave_no_reply_goes_to_the_others(
    crew: Hub, fields: dict[str, object]
):
    number = await handed_out(crew, type="request")
    await end_turn(crew, **fields)

    answer = (await crew.delivery(number, "a")).answer
    assert answer is not None
    assert answer.state == "ended_without_reply"
    assert await states(crew, number) == {
        "a": ("delivered", None),
        "b": ("queued", "claim_reopened"),
    }
    assert (await history(crew, number))[-1] == ("released", "a", 2)


async def test_where_nobody_else_is_left_the_request_stays_open(crew: Hub):
    sent = await crew.send("a", "which day?", claimable=True, sender="asker", type="request")
    await crew.claim("take", sent.id, "a")
    await crew.inject("a", sent.deliveries[0].id)
    await crew.resolve("a", "a1", "delivered", turnId="t")
    await end_turn(crew, status="interrupted")

    view = await crew.service.claims.one(sent.id, USER)
    answer = (await crew.delivery(sent.id, "a")).answer
    assert answer is not None
    assert (view.claim.state, answer.state) == (ClaimState.OPEN, "ended_without_reply")


async def test_plain_work_stays_with_its_holder_over_the_end_of_its_turn(crew: Hub):
    number = await handed_out(crew)
    await end_turn(crew, startedBy="a1", shared=False, finalText="I go on later")

    assert (await crew.claim("renew", number, "a")).state is ClaimState.HELD
    assert await mail(crew) == []


async def test_an_answer_that_the_limits_refuse_sends_nobody_else_for_it():
    hub = await memory_hub(Limits(recipient_queue=1))
    for name in ("a", "b"):
        await hub.register(name, tags=["t"])
    await hub.register("asker")
    number = await handed_out(hub, type="request")
    await hub.send("asker", "something before")
    await end_turn(hub, startedBy="a1", shared=False, finalText="Sunday")

    claim = (await hub.service.claims.one(MessageId(number), USER)).claim
    assert (claim.state, claim.not_sent) == (ClaimState.DONE, "recipient_full")
    assert (await states(hub, number))["b"] == ("skipped", "claimed_by_other")
    await hub.close()


async def test_work_that_all_had_in_their_sessions_and_lost_is_offered_to_them_anew(crew: Hub):
    number = await handed_out(crew)
    await crew.wait(61)
    await crew.claim("take", number, "b")
    await crew.inject("b", (await crew.delivery(number, "b")).id)
    await crew.resolve("b", "a2", "delivered")
    before = [offer.message.id for offer in await crew.offers("a")]
    await crew.wait(61)
    after = {name: [each.message.id for each in await crew.offers(name)] for name in "ab"}
    taken = await crew.claim("take", number, "a")
    view = await crew.service.messages.one(MessageId(number), USER)

    assert before == []
    assert after == {"a": [number], "b": [number]}
    assert (taken.state, taken.lapses) == (ClaimState.HELD, 2)
    assert [(each.agent_id, each.state, each.retried_as) for each in view.deliveries] == [
        ("a", "delivered", 3),
        ("b", "delivered", 4),
        ("a", "leased", None),
        ("b", "skipped", None),
    ]


async def decline(crew: Hub, delivery_id: DeliveryId) -> None:
    no = VerdictRequest(state=DeliveryState.SKIPPED, reason="claim_declined")
    await crew.service.deliveries.give_verdict(delivery_id, no, USER)


async def test_work_that_one_had_and_lost_and_that_the_others_decline_comes_to_that_one_anew(
    crew: Hub,
):
    number = await handed_out(crew)
    await crew.wait(61)
    before = [offer.message.id for offer in await crew.offers("a")]
    await decline(crew, (await crew.delivery(number, "b")).id)
    after = {name: [each.message.id for each in await crew.offers(name)] for name in "ab"}
    taken = await crew.claim("take", number, "a")

    assert before == []
    assert after == {"a": [number], "b": []}
    assert (taken.state, taken.lapses) == (ClaimState.HELD, 1)


async def test_work_that_nobody_has_had_and_all_decline_stays_open(crew: Hub):
    sent = await crew.send("a", claimable=True)
    await decline(crew, sent.deliveries[0].id)

    view = await crew.service.claims.one(sent.id, USER)
    assert (view.claim.state, await crew.offers("a")) == (ClaimState.OPEN, ())


async def test_work_whose_turn_was_cut_off_goes_to_the_others_at_once(crew: Hub):
    number = await handed_out(crew)
    await end_turn(crew, status="interrupted", cutOff=True)

    assert [each.message.id for each in await crew.offers("b")] == [number]
    assert [step[0] for step in await history(crew, number)] == ["taken", "lapsed"]
    late = await refused(crew.claim("complete", number, "a"))
    assert late.code == "stale_claim"


async def test_work_whose_turn_was_cut_off_and_that_nobody_else_can_do_comes_anew(crew: Hub):
    sent = await crew.send("a", claimable=True)
    await crew.claim("take", sent.id, "a", kept=True)
    await crew.inject("a", sent.deliveries[0].id)
    await crew.resolve("a", "a1", "delivered")
    await end_turn(crew, status="failed", cutOff=True)

    (offer,) = await crew.offers("a")
    assert (offer.message.id, offer.delivery.state) == (sent.id, "queued")


async def test_work_whose_turn_somebody_interrupted_stays_with_its_holder(crew: Hub):
    number = await handed_out(crew)
    await end_turn(crew, status="interrupted")

    assert (await crew.service.claims.one(MessageId(number), USER)).claim.state == "held"


async def test_work_that_was_taken_back_or_is_too_old_is_offered_to_nobody_anew(crew: Hub):
    cancelled = await handed_out(crew)
    await crew.service.messages.cancel(MessageId(cancelled), USER)
    await crew.wait(61)
    sent = await crew.send("a", claimable=True, ttlMs=90_000)
    await crew.claim("take", sent.id, "a")
    await crew.inject("a", sent.deliveries[0].id)
    await crew.resolve("a", "a2", "delivered")
    await crew.wait(40)
    await crew.claim("renew", sent.id, "a")
    await crew.wait(61)

    for number in (cancelled, sent.id):
        assert (await crew.service.claims.one(MessageId(number), USER)).claim.state == "dead"
    assert await crew.offers("a") == ()


async def test_who_gave_it_back_is_not_offered_it_anew(crew: Hub):
    number = await handed_out(crew)
    await crew.claim("release", number, "a")
    await crew.claim("take", number, "b")
    await crew.inject("b", (await crew.delivery(number, "b")).id)
    await crew.resolve("b", "a2", "delivered")
    await crew.wait(61)

    assert [len(await crew.offers(name)) for name in "ab"] == [0, 1]


@pytest.mark.parametrize(("released", "holder"), [(False, "a"), (True, None)])
async def test_a_session_that_shows_the_work_after_its_claim_lapsed_has_it_again(
    crew: Hub, *, released: bool, holder: str | None
):
    sent = await crew.send("tag:t", claimable=True)
    await crew.claim("take", sent.id, "a")
    await crew.inject("a", (await crew.delivery(sent.id, "a")).id)
    if released:
        await crew.claim("release", sent.id, "a")
    await crew.wait(61)
    await crew.resolve("a", "a1", "delivered")

    claim = (await crew.service.claims.one(sent.id, USER)).claim
    assert claim.agent_id == holder
    assert (await states(crew, sent.id))["b"][0] == ("skipped" if holder else "queued")


@pytest.mark.parametrize("injected", [False, True])
async def test_the_work_of_an_agent_that_is_deleted_is_offered_at_once(crew: Hub, *, injected):
    sent = await crew.send("tag:t", claimable=True)
    await crew.claim("take", sent.id, "a")
    if injected:
        await crew.inject("a", (await crew.delivery(sent.id, "a")).id)
        await crew.resolve("a", "a1", "delivered")
    await crew.service.agents.remove(AgentId("a"), USER)

    assert (await states(crew, sent.id))["b"] == ("queued", "claim_reopened")
    assert await history(crew, sent.id) == [("taken", "a", 1), ("released", "a", 2)]


# Lists and history -----------------------------------------------------------------------------


async def test_every_hand_over_is_on_record_and_no_renewal(crew: Hub):
    number = await handed_out(crew)
    await crew.claim("renew", number, "a")
    await crew.wait(61)
    await crew.claim("take", number, "b")
    await crew.claim("release", number, "b")
    await crew.claim("take", number, "a")
    await crew.claim("complete", number, "a")

    assert await history(crew, number) == [
        ("taken", "a", 1),
        ("lapsed", "a", 3),
        ("taken", "b", 4),
        ("released", "b", 5),
        ("taken", "a", 6),
        ("completed", "a", 7),
    ]


async def test_work_that_lapsed_too_often_says_so_and_what_was_taken_back(crew: Hub):
    dead, cancelled = [await crew.send("tag:t", claimable=True) for _ in range(2)]
    for name in ("a", "b", "a"):
        await crew.claim("take", dead.id, name)
        await crew.wait(60)
    await crew.service.messages.cancel(cancelled.id, USER)
    (letter, *_) = (await crew.service.dead.all(None, LARGEST, 9, USER)).dead
    await crew.service.dead.retry(letter.delivery.id, USER)

    assert (await history(crew, dead.id))[-3:] == [
        ("lapsed", "a", 6),
        ("dead", None, 7),
        ("reopened", None, 8),
    ]
    assert await history(crew, cancelled.id) == [("dead", None, 1)]


async def test_a_polling_client_that_read_it_has_completed_it(crew: Hub):
    sent = await crew.send("tag:t", claimable=True)
    await crew.claim("take", sent.id, "a")
    await crew.service.messages.mark_read(sent.id, AgentId("a"), USER)
    await crew.wait(60)

    assert await history(crew, sent.id) == [("taken", "a", 1), ("completed", "a", 2)]


async def test_the_user_sees_all_work_and_an_agent_what_concerns_it(crew: Hub):
    await crew.register("c")
    number = await handed_out(crew)
    other = (await crew.send("c", "for c", claimable=True)).id

    async def seen(name: str | None = None, states: tuple[ClaimState, ...] = GOING_ON) -> list[int]:
        caller = USER if name is None else agent_caller(name)
        found = await crew.service.claims.all(None, states, LARGEST, 10, caller)
        return [task.message_id for task in found.claims]

    assert await seen() == [other, number]
    assert await seen("asker") == await seen("b") == [number]
    assert await seen("c") == [other]
    assert await seen(states=(ClaimState.DONE,)) == []
    foreign = await refused(
        crew.service.claims.all(AgentId("a"), GOING_ON, LARGEST, 10, agent_caller("b"))
    )
    hidden = await refused(crew.service.claims.one(MessageId(number), agent_caller("c")))
    shown = await crew.service.claims.one(MessageId(number), agent_caller("b"))
    plain = await crew.send("a")
    unclaimable = await refused(crew.service.claims.one(plain.id, USER))
    assert [foreign.code, hidden.code, unclaimable.code] == [
        "foreign_agent",
        "unknown_message",
        "not_claimable",
    ]
    assert shown.claim.agent_id == "a"


# What the host hears ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "told"), [(False, ["a"]), (True, [])])
async def test_a_host_hears_of_a_claim_that_others_took_for_its_agent_and_of_no_other(
    crew: Hub, monkeypatch: pytest.MonkeyPatch, *, kept: bool, told: list[str]
):
    sent = await crew.send("tag:t", claimable=True)
    hints: list[str] = []
    monkeypatch.setattr(crew.service.streams, "mail", lambda agent_id, _: hints.append(agent_id))
    await crew.claim("take", sent.id, "a", kept=kept)

    assert hints == told


async def test_work_is_listed_and_shown_over_the_wire(tmp_path: Path):
    async with served_hub(tmp_path) as served, HubClient(served.url, served.token) as client:
        agent = await client.register(RegisterRequest(id=AgentId("a"), instance_id="one"))
        fence = {"agent_id": agent.id, "instance_id": "one", "epoch": agent.epoch}
        sent = [
            await client.send(SendRequest(to="a", body=f"do {n}", claimable=True)) for n in range(3)
        ]
        await client.claim(sent[0].id, ClaimRequest(**fence))
        await client.claim(sent[1].id, ClaimRequest(**fence))
        done = await client.complete(sent[1].id, ClaimRequest(**fence, result="done"))
        going_on = await client.tasks("a", states=GOING_ON)
        older = await client.tasks(before=sent[2].id)
        view = await client.task(sent[1].id)
        error = await refused(client.task(99))

    assert [task.message_id for task in going_on] == [sent[2].id, sent[0].id]
    assert (going_on[1].state, going_on[1].agent_id, going_on[1].excerpt) == ("held", "a", "do 0")
    assert [task.message_id for task in older] == [sent[1].id, sent[0].id]
    assert view.claim == done
    assert view.message.body == "do 1"
    assert [step.event for step in view.events] == ["taken", "completed"]
    assert error.code == "unknown_message"
