"""The guard in the hub: what agents may not do for ever, whom it tells, and how it is reset."""

import itertools
from collections.abc import AsyncIterator, Awaitable

import pytest

from hub_kit import Hub, agent_caller, memory_hub
from relay_core.errors import HubRefused
from relay_core.guards import Guard, GuardKind
from relay_core.hub_api import (
    OfferList,
    PairAnswer,
    PairMessageRequest,
    PairRequest,
    SendResponse,
)
from relay_core.messages import ACK, AgentId, Message
from relay_hub.callers import USER
from relay_hub.limits import DAY, Limits

NAMES = ("a", "b", "c")
HOUR_S = 3_600


@pytest.fixture
async def crew() -> AsyncIterator[Hub]:
    hub = await memory_hub(Limits(turns_per_hour=3, sends_per_minute=1_000))
    for name in NAMES:
        await hub.register(name)
    yield hub
    await hub.close()


async def refused(asking: Awaitable[object]) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await asking
    return caught.value


async def told(hub: Hub) -> list[Message]:
    return [each.message for each in await hub.offers("operator")]


async def stopped(hub: Hub) -> tuple[Guard, ...]:
    return (await hub.service.guards.all(USER)).guards


async def reset(hub: Hub, subject: object) -> Guard:
    return await hub.service.guards.reset(str(subject), USER)


async def answered(hub: Hub, times: int, names: tuple[str, ...] = ("a", "b")) -> list[int]:
    """Let agents answer each other round and round, until they are refused; what was sent."""
    round_of = itertools.cycle(zip(names, (*names[1:], names[0]), strict=True))
    sent: list[int] = []
    for _ in range(times):
        sender, to = next(round_of)
        replying = {"replyTo": sent[-1]} if sent else {}
        try:
            sent.append((await hub.send(to, sender=sender, **replying)).id)
        except HubRefused:
            return sent
    return sent


async def offered(hub: Hub, name: str) -> OfferList:
    return await hub.service.deliveries.offers(AgentId(name), USER)


async def turn(hub: Hub, name: str, *sent: SendResponse) -> None:
    """A turn that these messages start, and that is seen in the session."""
    ids = [(await hub.delivery(each.id, name)).id for each in sent]
    attempt = await hub.inject(name, *ids)
    await hub.resolve(name, attempt.id, "delivered", turnId=f"of {attempt.id}")


# Conversations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")], ids=["two", "a triangle"])
async def test_agents_that_answer_each_other_for_ever_are_stopped(
    crew: Hub, names: tuple[str, ...]
):
    sent = await answered(crew, 400, names)

    assert len(sent) == 9, "a message and eight answers in a row"
    (guard,) = await stopped(crew)
    assert (guard.kind, guard.subject, guard.reason) == ("conversation", str(sent[0]), "hops")


async def test_a_storm_that_counts_no_hops_is_cut_by_the_conversations_budget(crew: Hub):
    root = await crew.send("b", sender="a")
    answers = [("a", "b"), ("b", "a")] * 199
    for sender, to in answers[:30]:
        await crew.send(to, sender=sender, replyTo=root.id)
    for sender, to in answers[30:]:
        error = await refused(crew.send(to, sender=sender, replyTo=root.id))
        assert (error.code, error.retry_after_s) == ("loop_guard", 600)

    (guard,) = await stopped(crew)
    assert (guard.reason, guard.refused) == ("conversation", 368)
    assert len(await told(crew)) == 1


async def test_a_person_is_told_once_how_to_let_them_go_on(crew: Hub):
    sent = await answered(crew, 20)
    for _ in range(3):
        await refused(crew.send("b", sender="a", replyTo=sent[-1]))

    (notice,) = await told(crew)
    assert (notice.from_, notice.type) == ("hub", "guard.stopped")
    assert f"agent-relay guard reset {sent[0]}" in notice.body
    assert f"agent-relay thread {sent[0]}" in notice.body
    (guard,) = await stopped(crew)
    assert (guard.refused, guard.notice_id) == (4, notice.id)


async def test_a_day_later_the_person_is_told_again(crew: Hub):
    sent = await answered(crew, 20)
    await crew.wait(DAY / 1_000)
    await refused(crew.send("b", sender="a", replyTo=sent[-1]))

    assert len(await told(crew)) == 2


async def test_after_a_reset_they_go_on_and_are_stopped_again_with_one_more_notice(crew: Hub):
    sent = await answered(crew, 20)
    mark = await reset(crew, sent[3])
    assert (mark.subject, mark.stopped_ms) == (str(sent[0]), None)
    assert await stopped(crew) == ()

    last = sent[-1]
    for sender, to in [("b", "a"), ("a", "b")] * 4:
        last = (await crew.send(to, sender=sender, replyTo=last)).id
    error = await refused(crew.send("a", sender="b", replyTo=last))

    assert error.code == "loop_guard"
    assert len(await told(crew)) == 2


async def test_a_word_of_the_persons_lets_them_go_on_as_a_reset_does(crew: Hub):
    sent = await answered(crew, 20)
    await crew.send("b", replyTo=sent[-1])

    assert await stopped(crew) == ()
    await crew.send("b", sender="a", replyTo=sent[-1])


async def test_a_reset_begins_a_conversations_budget_anew(crew: Hub):
    root = await crew.send("b", sender="a")
    for _ in range(30):
        await crew.send("b", sender="a", replyTo=root.id)
    await refused(crew.send("a", sender="b", replyTo=root.id))
    await crew.wait(1)
    await reset(crew, root.id)
    await crew.wait(1)
    for _ in range(30):
        await crew.send("a", sender="b", replyTo=root.id)

    assert (await refused(crew.send("a", sender="b", replyTo=root.id))).code == "loop_guard"


async def test_a_person_is_never_stopped(crew: Hub):
    sent = await answered(crew, 20)
    word = await crew.send("b", replyTo=sent[-1])

    assert (await crew.send("operator", sender="b", replyTo=word.id)).id


async def test_what_is_said_in_a_pair_is_stopped_and_told_of_as_well(crew: Hub):
    a, b = agent_caller("a"), agent_caller("b")
    pair = await crew.service.pairs.invite(PairRequest(target="b"), a)
    await crew.service.pairs.accept(pair.id, PairAnswer(), b)
    for _ in range(29):  # the invitation began the conversation
        await crew.service.pairs.say(pair.id, PairMessageRequest(body="x"), a)
    for speaker in (a, b, a):
        said = crew.service.pairs.say(pair.id, PairMessageRequest(body="x"), speaker)
        assert (await refused(said)).code == "loop_guard"

    (guard,) = await stopped(crew)
    assert guard.kind is GuardKind.CONVERSATION
    assert guard.refused > 1
    assert [each.type for each in await told(crew)] == ["guard.stopped"]


async def test_what_was_not_stopped_cannot_be_reset(crew: Hub):
    sent = await crew.send("b", sender="a")

    assert (await refused(reset(crew, sent.id))).code == "not_stopped"
    assert (await refused(reset(crew, 999))).code == "unknown_message"
    assert (await refused(reset(crew, "a"))).code == "not_stopped"
    assert (await refused(reset(crew, "nobody"))).code == "unknown_agent"


async def test_no_agent_looks_at_the_guard_or_resets_it(crew: Hub):
    sent = await answered(crew, 20)
    service = crew.service.guards

    for asking in (service.all(agent_caller("a")), service.reset(str(sent[0]), agent_caller("a"))):
        assert (await refused(asking)).code == "user_only"
    assert len(await stopped(crew)) == 1


async def test_a_mark_is_forgotten_with_its_conversation_or_its_agent(crew: Hub):
    await answered(crew, 20)
    await spent(crew)
    assert len(await stopped(crew)) == 2
    for each in ("a", "b"):
        await crew.service.agents.remove(AgentId(each), USER)
    await crew.wait(31 * DAY / 1_000)
    for _ in range(5):
        await crew.wait(61)

    assert await stopped(crew) == ()


# Confirmations -----------------------------------------------------------------------------------


async def test_a_confirmation_starts_no_turn(crew: Hub):
    ack = await crew.send("b", sender="a", type=ACK)
    row = await crew.delivery(ack.id, "b")

    error = await refused(crew.inject("b", row.id))
    assert (error.status, error.code) == (409, "starts_no_turn")
    work = await crew.send("b", sender="a")
    await turn(crew, "b", work, ack)
    assert (await crew.delivery(ack.id, "b")).state == "delivered"


@pytest.mark.parametrize("field", ["claimable", "urgent"])
async def test_a_confirmation_is_neither_work_nor_urgent(crew: Hub, field: str):
    error = await refused(crew.send("b", sender="a", type=ACK, **{field: True}))

    assert (error.status, error.code) == (422, "bad_ack")


async def test_a_confirmation_is_no_answer_to_a_request(crew: Hub):
    request = await crew.send("b", sender="a", type="request")
    await crew.send("a", sender="b", replyTo=request.id, type=ACK)
    assert (await crew.delivery(request.id, "b")).answer.state == "waiting"

    reply = await crew.send("a", sender="b", replyTo=request.id)
    assert (await crew.delivery(request.id, "b")).answer.reply_id == reply.id


async def test_for_the_person_a_confirmation_is_mail_as_any_other(crew: Hub):
    await crew.send("operator", sender="a", type=ACK)

    assert [each.type for each in await told(crew)] == [ACK]


# Turns of an hour --------------------------------------------------------------------------------


async def spent(hub: Hub, name: str = "b") -> None:
    """Give an agent all the turns of an hour that it has for others."""
    for _ in range(3):
        await turn(hub, name, await hub.send(name, sender="a"))


async def test_an_agents_turns_for_others_are_counted_and_then_others_wait(crew: Hub):
    assert (await offered(crew, "b")).turns_from_ms is None
    await spent(crew)
    began = crew.clock.now_ms()

    assert (await offered(crew, "b")).turns_from_ms == began + HOUR_S * 1_000
    late = await crew.send("b", sender="a")
    error = await refused(turn(crew, "b", late))
    assert (error.status, error.code, error.retry_after_s) == (429, "turns_spent", HOUR_S)
    await crew.wait(HOUR_S + 1)
    assert (await offered(crew, "b")).turns_from_ms is None
    await turn(crew, "b", late)


async def test_turns_of_the_person_are_neither_counted_nor_stopped(crew: Hub):
    for _ in range(4):
        await turn(crew, "b", await crew.send("b"))
    assert (await offered(crew, "b")).turns_from_ms is None

    await spent(crew)
    await turn(crew, "b", await crew.send("b"), await crew.send("b", sender="a"))


async def test_what_joined_a_turn_or_never_was_one_is_not_counted(crew: Hub):
    for _ in range(4):
        sent = await crew.send("b", sender="a")
        attempt = await crew.inject("b", (await crew.delivery(sent.id, "b")).id)
        await crew.resolve("b", attempt.id, "absent")
    for _ in range(4):
        sent = await crew.send("b", sender="a")
        row = await crew.delivery(sent.id, "b")
        attempt = await crew.inject("b", row.id, starts_turn=False)
        await crew.resolve("b", attempt.id, "delivered")

    assert (await offered(crew, "b")).turns_from_ms is None


async def test_a_person_is_told_of_spent_turns_and_can_give_more(crew: Hub):
    await spent(crew)
    (notice,) = await told(crew)
    assert "agent-relay guard reset b" in notice.body
    late = await crew.send("b", sender="a")
    await crew.wait(1)

    mark = await reset(crew, "b")

    assert (mark.kind, mark.stopped_ms) == ("turns", None)
    assert (await offered(crew, "b")).turns_from_ms is None
    await turn(crew, "b", late)
    assert len(await told(crew)) == 1
