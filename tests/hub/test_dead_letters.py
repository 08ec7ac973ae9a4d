"""What is not tried again by itself: who hears of it, and what people can do about it."""

import json
from collections.abc import Awaitable

import pytest

from hub_kit import Hub, agent_caller, memory_hub
from relay_core.dead_letters import DeadLetter
from relay_core.errors import HubRefused
from relay_core.messages import AgentId, ClaimState, DeliveryId, DeliveryState, Message
from relay_core.retry import MAX_ATTEMPTS
from relay_hub.callers import USER, Caller
from relay_hub.limits import DAY, Limits

NEWEST = DeliveryId(1 << 53)
DAY_S = 24 * 60 * 60


@pytest.fixture
async def crew(hub: Hub) -> Hub:
    for name in ("a", "b", "c"):
        await hub.register(name, tags=["crew"])
    return hub


async def poison(hub: Hub, name: str, delivery_id: int) -> DeliveryId:
    """Crash the agent on it twice."""
    for _ in range(2):
        attempt = await hub.inject(name, delivery_id)
        await hub.resolve(name, attempt.id, "absent", crashed=True)
    return DeliveryId(delivery_id)


async def killed(hub: Hub, by: str = "a", to: str = "b", **fields: object) -> DeliveryId:
    """A dead letter from one agent to another."""
    sent = await hub.send(to, **({"sender": by} if by != "operator" else {}), **fields)
    return await poison(hub, to, sent.deliveries[0].id)


async def dead(
    hub: Hub, name: str | None = None, caller: Caller = USER, **page: int
) -> tuple[DeadLetter, ...]:
    before, most = DeliveryId(page.get("before", NEWEST)), page.get("most", 100)
    whose = None if name is None else AgentId(name)
    return (await hub.service.dead.all(whose, before, most, caller)).dead


async def ids(hub: Hub, name: str | None = None, caller: Caller = USER) -> list[DeliveryId]:
    return [each.delivery.id for each in await dead(hub, name, caller)]


async def mail(hub: Hub, name: str) -> list[Message]:
    return [each.message for each in await hub.offers(name)]


async def refused(work: Awaitable[object]) -> HubRefused:
    with pytest.raises(HubRefused) as error:
        await work
    return error.value


async def test_a_dead_letter_is_listed_with_what_it_was_to_bring(crew: Hub):
    letter = await killed(crew, subject="why", body="x" * 500)

    (found,) = await dead(crew)
    assert (found.delivery.id, found.delivery.reason) == (letter, "poison")
    assert (found.from_, found.to, found.subject) == ("a", "b", "why")
    assert found.excerpt == "x" * 200


async def test_a_dead_letter_is_shown_with_all_that_was_tried(crew: Hub):
    letter = await killed(crew)
    view = await crew.service.dead.one(letter, USER)

    assert view.message.body == "hello"
    assert [(each.id, each.outcome) for each in view.attempts] == [
        ("a1", "absent"),
        ("a2", "absent"),
    ]
    assert [(each.event, each.after) for each in view.transitions] == [
        ("AttemptRecorded", "injecting"),
        ("FoundAbsent", "queued"),
        ("AttemptRecorded", "injecting"),
        ("FoundAbsent", "dead"),
    ]
    assert [each.attempt_id for each in view.transitions] == ["a1", "a1", "a2", "a2"]


async def test_the_sender_is_told_once_and_durably(crew: Hub):
    letter = await killed(crew, subject="why")

    (notice,) = await mail(crew, "a")
    assert (notice.from_, notice.type, notice.sender.credential) == ("hub", "delivery.dead", "hub")
    assert json.loads(bytes(notice.meta)) == {
        "messageId": notice.reply_to,
        "deliveryIds": [letter],
        "reason": "poison",
    }
    assert "b (poison)" in notice.body
    await crew.wait(DAY_S)
    assert len(await mail(crew, "a")) == 1


async def test_the_person_at_the_keyboard_is_told_in_the_inbox(crew: Hub):
    await killed(crew, by="operator")

    assert [each.type for each in await mail(crew, "operator")] == ["delivery.dead"]


async def test_of_work_that_lapsed_too_often_the_sender_is_told():
    hub = await memory_hub(Limits(claim_lapses=1))
    for name in ("a", "b"):
        await hub.register(name)
    sent = await hub.send("b", sender="a", claimable=True)
    await hub.service.claims.take(sent.id, hub.claiming("b"), USER)
    await hub.wait(61)

    (notice,) = await mail(hub, "a")
    assert "b (claim_lapsed)" in notice.body
    await hub.close()


async def test_nothing_is_told_of_a_notice_that_dies(crew: Hub):
    await killed(crew)
    newest = await crew.service.messages.latest_id()
    await crew.service.agents.remove(AgentId("a"), USER)

    assert len(await dead(crew)) == 2
    assert await crew.service.messages.latest_id() == newest


async def test_a_sender_that_is_not_registered_is_told_nothing(crew: Hub):
    sent = await crew.send("b", **{"from": "elsewhere"})
    letter = await poison(crew, "b", sent.deliveries[0].id)

    assert await ids(crew) == [letter]


async def test_mail_of_a_deleted_agent_comes_back_to_its_senders(crew: Hub):
    await crew.send("b", sender="a")
    await crew.service.agents.remove(AgentId("b"), USER)

    assert [each.type for each in await mail(crew, "a")] == ["delivery.dead"]
    assert [each.delivery.reason for each in await dead(crew)] == ["recipient_removed"]


async def test_a_retry_is_a_new_delivery_in_the_place_of_the_dead_one(crew: Hub):
    letter = await killed(crew, ttlMs=60_000)
    await crew.wait(300)
    successor = await crew.service.dead.retry(letter, USER)
    (offer,) = await crew.offers("b")
    view = await crew.service.dead.one(letter, USER)

    assert (successor.state, successor.agent_id) == (DeliveryState.QUEUED, "b")
    assert offer.delivery.id == successor.id
    assert (offer.delivery.attempts, offer.delivery.strikes) == (0, 0)
    assert offer.delivery.expires_ms == crew.clock.now_ms() + 60_000
    assert view.delivery.retried_as == successor.id
    assert await dead(crew) == ()
    await poison(crew, "b", successor.id)
    assert await ids(crew) == [successor.id]


async def test_what_was_retried_is_delivered_like_any_other(crew: Hub):
    letter = await killed(crew)
    successor = await crew.service.dead.retry(letter, USER)
    attempt = await crew.inject("b", successor.id)
    await crew.resolve("b", attempt.id, "delivered")

    assert (await crew.delivery(successor.message_id, "b")).retried_as == successor.id
    message = await crew.service.messages.one(successor.message_id, USER)
    assert [each.state for each in message.deliveries] == ["dead", "delivered"]


async def test_it_is_retried_once(crew: Hub):
    letter = await killed(crew)
    successor = await crew.service.dead.retry(letter, USER)
    again = await refused(crew.service.dead.retry(letter, USER))
    dropped = await refused(crew.service.dead.drop(letter, USER))

    assert (again.status, again.code, again.delivery_ids) == (
        409,
        "already_retried",
        (successor.id,),
    )
    assert dropped.code == "already_retried"


async def test_what_was_dropped_is_listed_no_longer_but_remembered(crew: Hub):
    letter = await killed(crew)
    first = await crew.service.dead.drop(letter, USER)
    crew.clock.ms += 1_000
    again = await crew.service.dead.drop(letter, USER)
    view = await crew.service.dead.one(letter, USER)

    assert first.dropped_ms == again.dropped_ms == view.dropped_ms is not None
    assert await dead(crew) == ()
    assert (await crew.service.dead.retry(letter, USER)).state is DeliveryState.QUEUED


async def test_work_that_nobody_finished_can_be_taken_again_after_a_retry():
    hub = await memory_hub(Limits(claim_lapses=1))
    for name in ("a", "b"):
        await hub.register(name)
    sent = await hub.send("b", sender="a", claimable=True)
    await hub.service.claims.take(sent.id, hub.claiming("b"), USER)
    await hub.wait(61)
    (letter,) = await dead(hub)
    successor = await hub.service.dead.retry(letter.delivery.id, USER)
    claim = await hub.service.claims.take(sent.id, hub.claiming("b"), USER)

    assert letter.delivery.reason == "claim_lapsed"
    assert (claim.state, claim.lapses) == (ClaimState.HELD, 0)
    assert (await hub.delivery(sent.id, "b")).state is DeliveryState.DEAD
    assert [each.delivery.id for each in await hub.offers("b")] == [successor.id]
    await hub.close()


async def test_work_in_other_hands_is_not_offered_again(crew: Hub):
    sent = await crew.send("tag:crew", sender="a", claimable=True)
    mine = next(each.id for each in sent.deliveries if each.agent_id == "b")
    claim = await crew.service.claims.take(sent.id, crew.claiming("b"), USER)
    attempt = await crew.inject("b", mine)
    await crew.resolve("b", attempt.id, "failed", permanent=True, reason="refused")
    await crew.service.claims.take(sent.id, crew.claiming("c"), USER)
    error = await refused(crew.service.dead.retry(mine, USER))

    assert claim.state is ClaimState.HELD
    assert (error.status, error.code) == (409, "claim_held")
    assert "c has it" in error.detail


async def test_a_recipient_that_is_gone_or_full_is_not_retried(crew: Hub):
    letter = await killed(crew)
    await crew.service.agents.remove(AgentId("b"), USER)
    gone = await refused(crew.service.dead.retry(letter, USER))
    await crew.register("b")

    assert (gone.status, gone.code) == (409, "recipient_gone")
    assert (await crew.service.dead.retry(letter, USER)).state is DeliveryState.QUEUED


async def test_a_full_recipient_is_retried_later():
    hub = await memory_hub(Limits(recipient_queue=1))
    await hub.register("b")
    sent = await hub.send("b")
    letter = await poison(hub, "b", sent.deliveries[0].id)
    await hub.send("b")

    assert (await refused(hub.service.dead.retry(letter, USER))).code == "recipient_full"
    assert await ids(hub) == [letter]
    await hub.close()


async def test_what_failed_for_the_fifth_time_is_a_dead_letter_with_every_try(crew: Hub):
    sent = await crew.send("b", sender="a")
    (delivery,) = sent.deliveries
    for _ in range(MAX_ATTEMPTS):
        attempt = await crew.inject("b", delivery.id)
        await crew.resolve("b", attempt.id, "failed", reason="too large")
        await crew.wait(301)
    view = await crew.service.dead.one(delivery.id, USER)

    assert (view.delivery.reason, view.delivery.attempts) == ("too large", MAX_ATTEMPTS)
    assert [each.outcome for each in view.attempts] == ["failed"] * MAX_ATTEMPTS


async def test_who_may_look_and_who_may_decide(crew: Hub):
    letter, service = await killed(crew), crew.service.dead
    sender, recipient, other = (agent_caller(name) for name in ("a", "b", "c"))

    assert await ids(crew, caller=sender) == await ids(crew, caller=recipient) == [letter]
    assert await ids(crew, caller=other) == []
    assert await ids(crew, "b") == [letter]
    assert await ids(crew, "a") == []
    assert (await refused(dead(crew, "b", other))).status == 403
    assert (await service.one(letter, recipient)).delivery.id == letter
    assert (await refused(service.one(letter, other))).code == "unknown_dead_letter"
    assert (await refused(service.retry(letter, other))).code == "unknown_dead_letter"
    assert (await refused(service.retry(letter, recipient))).code == "not_the_sender"
    assert (await refused(service.drop(letter, recipient))).code == "not_the_sender"
    assert (await service.retry(letter, sender)).state is DeliveryState.QUEUED


async def test_what_is_not_dead_is_no_dead_letter(crew: Hub):
    alive = (await crew.send("b")).deliveries[0].id
    for work in (crew.service.dead.one, crew.service.dead.retry, crew.service.dead.drop):
        error = await refused(work(alive, USER))
        assert (error.status, error.code) == (404, "unknown_dead_letter")
        assert "queued, not dead" in error.detail
        assert (await refused(work(DeliveryId(9_999), USER))).status == 404


async def test_dead_letters_are_listed_newest_first_a_page_at_a_time(crew: Hub):
    letters = [await killed(crew) for _ in range(5)]
    found: list[DeliveryId] = []
    while page := await dead(crew, before=found[-1] if found else NEWEST, most=2):
        found += [each.delivery.id for each in page]

    assert found == letters[::-1]


async def test_a_dead_letter_is_kept_as_long_as_its_message():
    hub = await memory_hub(Limits(keep_ms=30 * DAY))
    for name in ("a", "b"):
        await hub.register(name)
    letter = await killed(hub)
    await hub.service.dead.retry(letter, USER)
    await hub.wait(29 * DAY_S)
    kept = await hub.service.dead.one(letter, USER)
    await hub.wait(40 * DAY_S)
    await hub.wait(60)

    assert kept.delivery.id == letter
    assert (await refused(hub.service.dead.one(letter, USER))).status == 404
    await hub.close()
