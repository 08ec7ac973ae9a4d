"""Held mail: who may look and decide, what a yes, an edit and a no do, and who reads what."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hub_kit import Hub, agent_caller, as_body, memory_hub
from relay_core.errors import HubRefused
from relay_core.held_mail import DropRequest, HeldPatch, HeldView
from relay_core.hub_api import VerdictRequest
from relay_core.messages import (
    AgentId,
    ClaimState,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
)
from relay_hub.callers import USER, Caller
from relay_hub.limits import Limits
from relay_hub.service import HubService

NEWEST = DeliveryId(1 << 53)


@pytest.fixture
async def crew(hub: Hub) -> Hub:
    for name in ("a", "b", "c"):
        await hub.register(name, tags=["crew"])
    return hub


async def verdict(
    hub: Hub, delivery_id: int, *, by: str | None, caller: Caller = USER, **fields: object
) -> Delivery:
    """Give a verdict as the host of an agent does, or as a person (`by` None)."""
    acting = {} if by is None else {"agentId": by, "epoch": hub.epochs[by]}
    request = as_body(VerdictRequest, {"reason": "needs_yes", **fields, **acting})
    return await hub.service.deliveries.give_verdict(DeliveryId(delivery_id), request, caller)


async def held(hub: Hub, to: str = "b", body: str = "as sent", **fields: object) -> DeliveryId:
    """A delivery from `a` that its recipient's host holds."""
    sent = await hub.send(to, body, sender="a", **fields)
    for each in sent.deliveries:
        await verdict(hub, each.id, by=each.agent_id, state="held")
    return sent.deliveries[0].id


async def edit(hub: Hub, delivery_id: DeliveryId, body: str) -> HeldView:
    return await hub.service.held.edit(delivery_id, HeldPatch(body=body), USER)


async def drop(hub: Hub, delivery_id: DeliveryId, reason: str = "dropped") -> Delivery:
    return await hub.service.held.drop(delivery_id, DropRequest(reason=reason), USER)


async def row(hub: Hub, delivery_id: DeliveryId) -> Delivery:
    found = await hub.service.store.read(lambda reads: reads.delivery(delivery_id))
    assert found is not None
    return found


async def refused(work: Awaitable[object]) -> tuple[int, str]:
    with pytest.raises(HubRefused) as error:
        await work
    return error.value.status, error.value.code


async def test_what_is_held_is_listed_for_the_user_with_what_waits_for_a_yes(crew: Hub):
    first = await held(crew, subject="why", urgent=True)
    second = await held(crew, "c", "later")

    everything = await crew.service.held.all(None, NEWEST, 10, USER)
    of_c = await crew.service.held.all(AgentId("c"), NEWEST, 10, USER)
    older = await crew.service.held.all(None, second, 10, USER)

    assert [each.delivery.id for each in everything.held] == [second, first]
    assert everything.needs_yes == 2
    assert [each.delivery.id for each in of_c.held] == [second]
    (one,) = older.held
    assert (one.from_, one.to, one.subject, one.excerpt, one.urgent) == (
        "a", "b", "why", "as sent", True,
    )  # fmt: skip
    assert (one.delivery.state, one.delivery.reason) == (DeliveryState.HELD, "needs_yes")


CALLS: dict[str, Callable[[HubService, DeliveryId, Caller], Awaitable[Any]]] = {
    "list": lambda hub, _, caller: hub.held.all(None, NEWEST, 10, caller),
    "show": lambda hub, number, caller: hub.held.one(number, caller),
    "approve": lambda hub, number, caller: hub.held.approve(number, caller),
    "edit": lambda hub, number, caller: hub.held.edit(number, HeldPatch(body="x"), caller),
    "drop": lambda hub, number, caller: hub.held.drop(number, DropRequest(), caller),
}


@pytest.mark.parametrize("who", ["a", "b", "c"])
@pytest.mark.parametrize("call", CALLS)
async def test_no_agent_looks_at_held_mail_or_decides_about_it(crew: Hub, call: str, who: str):
    number = await held(crew)
    before = await row(crew, number)

    told = await refused(CALLS[call](crew.service, number, agent_caller(who)))

    assert told == (403, "user_only")
    assert await row(crew, number) == before


async def test_a_yes_queues_it_for_good(crew: Hub):
    number = await held(crew)
    approved = await crew.service.held.approve(number, USER)
    again = await verdict(crew, number, by="b", state="held")

    assert (approved.state, approved.reason) == (DeliveryState.QUEUED, "approved")
    assert approved.approved_ms == crew.clock.now_ms()
    assert again == approved


async def test_the_release_of_a_person_is_a_yes_and_that_of_a_host_is_none(crew: Hub):
    by_person, by_host, by_agent = [await held(crew) for _ in range(3)]
    await verdict(crew, by_agent, by="b", state="held", reason="later")
    await verdict(crew, by_person, by=None, state="queued")
    await verdict(crew, by_host, by="b", state="queued")
    await verdict(crew, by_agent, by="b", state="queued", caller=agent_caller("b"))

    assert (await row(crew, by_person)).approved_ms is not None
    assert (await row(crew, by_host)).approved_ms is None
    assert (await row(crew, by_agent)).approved_ms is None


async def test_a_person_can_hold_again_what_was_approved(crew: Hub):
    number = await held(crew)
    await crew.service.held.approve(number, USER)

    assert (await verdict(crew, number, by=None, state="held")).state is DeliveryState.HELD


async def test_a_yes_outlives_an_attempt_that_is_found_absent(crew: Hub):
    number = await held(crew)
    await crew.service.held.approve(number, USER)
    attempt = await crew.inject("b", number)
    await crew.resolve("b", attempt.id, "absent")

    after = await row(crew, number)
    assert (after.state, after.reason) == (DeliveryState.QUEUED, "absent")
    assert after.approved_ms is not None


async def test_a_no_skips_it_with_a_word_that_the_sender_sees(crew: Hub):
    plain, told = await held(crew), await held(crew)
    await drop(crew, plain)
    dropped = await drop(crew, told, "off_topic")

    assert (await row(crew, plain)).reason == "dropped"
    view = await crew.service.messages.one(dropped.message_id, agent_caller("a"))
    assert [(each.state, each.reason) for each in view.deliveries] == [("skipped", "off_topic")]


@pytest.mark.parametrize("reason", ["", "two words", "Caf\u00e9", "x" * 65, "claimed_by_other"])
async def test_a_reason_that_is_no_word_or_would_bring_it_back_is_refused(crew: Hub, reason: str):
    number = await held(crew)

    assert await refused(drop(crew, number, reason)) == (422, "bad_reason")
    assert (await row(crew, number)).state is DeliveryState.HELD


@pytest.mark.parametrize("call", ["show", "approve", "edit", "drop"])
async def test_what_is_no_longer_held_is_refused_and_stays_as_it_is(crew: Hub, call: str):
    sent = await crew.send("b")
    waiting = sent.deliveries[0].id
    dropped = await held(crew)
    await drop(crew, dropped)
    before = [await row(crew, each) for each in (waiting, dropped)]

    told = [
        await refused(CALLS[call](crew.service, each, USER)) for each in (waiting, dropped, NEWEST)
    ]

    assert told == [(409, "not_held"), (409, "not_held"), (404, "unknown_delivery")]
    assert [await row(crew, each) for each in (waiting, dropped)] == before


# --- the edited text --------------------------------------------------------------------------


async def reads(hub: Hub, name: str, message_id: MessageId) -> set[str]:
    """Every text of a message that an agent comes across, asking as itself."""
    service, caller = hub.service, agent_caller(name)
    offered = await service.deliveries.offers(AgentId(name), caller)
    past = await service.deliveries.history(
        AgentId(name), tuple(DeliveryState), MessageId(1 << 53), 9, caller
    )
    found: list[Message] = [each.message for each in (*offered.offers, *past.offers)]
    found += await service.messages.inbox(AgentId(name), MessageId(0), 9, caller)
    found += await service.messages.inbox_before(AgentId(name), MessageId(1 << 53), 9, caller)
    found += [await service.messages.one(message_id, caller)]
    found += await service.messages.thread(message_id, MessageId(0), 9, caller)
    return {each.body for each in found if each.id == message_id}


async def test_the_recipient_reads_the_edited_text_everywhere_and_the_sender_its_own(crew: Hub):
    number = await held(crew, "tag:crew")
    message = (await row(crew, number)).message_id
    view = await edit(crew, number, "as edited")
    for each in (await crew.service.held.all(None, NEWEST, 10, USER)).held:
        await crew.service.held.approve(each.delivery.id, USER)

    assert (view.message.body, view.edited_body) == ("as sent", "as edited")
    assert view.delivery.state is DeliveryState.HELD
    assert await reads(crew, "b", message) == {"as edited"}
    assert await reads(crew, "c", message) == {"as sent"}
    (mine,) = [each for each in await crew.offers("b") if each.message.id == message]
    assert mine.message.edited_by == "operator"
    sender = await crew.service.messages.one(message, agent_caller("a"))
    user = await crew.service.messages.one(message, USER)
    assert sender.body == user.body == "as sent"
    assert {each.agent_id: each.edited for each in sender.deliveries} == {"b": True, "c": False}


async def test_a_recipient_that_marks_an_edited_message_as_read_is_shown_the_edited_text(crew: Hub):
    sent = await crew.send("b", "as sent", sender="a")
    (number,), message = [each.id for each in sent.deliveries], sent.id
    await verdict(crew, number, by="b", state="held", reason="later")
    await edit(crew, number, "as edited")

    view = await crew.service.messages.mark_read(message, AgentId("b"), agent_caller("b"))

    assert (view.body, view.edited_by) == ("as edited", "operator")


async def test_what_waits_for_a_yes_is_read_by_its_sender_and_the_user_alone(crew: Hub):
    number = await held(crew)
    message = (await row(crew, number)).message_id
    recipient, service = agent_caller("b"), crew.service

    assert (await service.deliveries.offers(AgentId("b"), recipient)).offers == ()
    assert await service.messages.inbox(AgentId("b"), MessageId(0), 9, USER) == ()
    for ask in (
        service.messages.one(message, recipient),
        service.messages.thread(message, MessageId(0), 9, recipient),
        service.messages.mark_read(message, AgentId("b"), recipient),
    ):
        assert await refused(ask) == (404, "unknown_message")
    assert len(await crew.offers("b")) == 1
    assert (await service.messages.one(message, agent_caller("a"))).body == "as sent"
    await service.held.approve(number, USER)
    assert await reads(crew, "b", message) == {"as sent"}


ENDS: dict[str, Callable[[Hub, DeliveryId, MessageId], Awaitable[Any]]] = {
    "dropped": lambda hub, number, _: drop(hub, number),
    "skipped by its host": lambda hub, number, _: verdict(hub, number, by="b", state="skipped"),
    "expired": lambda hub, _number, _message: hub.wait(61),
    "cancelled": lambda hub, _, message: hub.service.messages.cancel(message, USER),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_ended_without_a_yes_is_read_by_its_sender_and_the_user_alone(
    crew: Hub, end: str
):
    number = await held(crew, ttlMs=60_000)
    message = (await row(crew, number)).message_id
    await edit(crew, number, "as edited")
    await ENDS[end](crew, number, message)
    recipient, service = agent_caller("b"), crew.service
    past = await service.deliveries.history(
        AgentId("b"), tuple(DeliveryState), MessageId(1 << 53), 9, recipient
    )

    assert past.offers == ()
    for ask in (
        service.messages.one(message, recipient),
        service.messages.thread(message, MessageId(0), 9, recipient),
        service.messages.mark_read(message, AgentId("b"), recipient),
    ):
        assert await refused(ask) == (404, "unknown_message")
    for reader in (agent_caller("a"), USER):
        assert (await service.messages.one(message, reader)).body == "as sent"


async def test_a_no_hides_one_message_of_a_conversation_and_not_the_others(crew: Hub):
    number = await held(crew)
    dropped = (await row(crew, number)).message_id
    await drop(crew, number)
    after = await crew.send("b", "read the one before", sender="a", replyTo=dropped)

    found = await crew.service.messages.thread(after.id, MessageId(0), 9, agent_caller("b"))

    assert [each.body for each in found] == ["read the one before"]


async def test_what_ended_after_a_yes_or_was_skipped_without_being_held_can_be_read(crew: Hub):
    approved = await held(crew, ttlMs=60_000)
    await crew.service.held.approve(approved, USER)
    sent = await crew.send("b", "as sent", sender="a")
    await verdict(crew, sent.deliveries[0].id, by="b", state="skipped", reason="channel")
    await crew.wait(61)

    assert (await row(crew, approved)).state is DeliveryState.EXPIRED
    for message in ((await row(crew, approved)).message_id, sent.id):
        view = await crew.service.messages.one(message, agent_caller("b"))
        assert view.body == "as sent"


@pytest.mark.parametrize("fields", [{"state": "queued"}, {"state": "held", "reason": "later"}])
async def test_an_agents_token_neither_releases_what_waits_for_a_yes_nor_says_another_reason(
    crew: Hub, fields: dict[str, Any]
):
    number = await held(crew)
    before = await row(crew, number)

    told = await refused(verdict(crew, number, by="b", caller=agent_caller("b"), **fields))

    assert told == (403, "user_only")
    assert await row(crew, number) == before


async def test_an_agents_token_releases_what_it_holds_for_another_reason(crew: Hub):
    sent = await crew.send("b")
    number = sent.deliveries[0].id
    await verdict(crew, number, by="b", state="held", reason="later")

    released = await verdict(crew, number, by="b", state="queued", caller=agent_caller("b"))

    assert (released.state, released.approved_ms) == (DeliveryState.QUEUED, None)


async def test_a_text_can_be_edited_again_before_the_yes(crew: Hub):
    number = await held(crew)
    await edit(crew, number, "once")
    await edit(crew, number, "twice")
    await crew.service.held.approve(number, USER)

    assert [each.message.body for each in await crew.offers("b")] == ["twice"]


async def test_an_edited_text_has_the_limit_of_any_body():
    hub = await memory_hub(Limits(body_bytes=1_024))
    for name in ("a", "b"):
        await hub.register(name)
    number = await held(hub)
    await edit(hub, number, "x" * 1_024)

    assert await refused(edit(hub, number, "\u00e9" * 513)) == (413, "body_too_large")
    assert (await hub.service.held.one(number, USER)).edited_body == "x" * 1_024
    await hub.close()


async def test_a_retried_dead_letter_keeps_the_yes_and_the_edited_text(crew: Hub):
    number = await held(crew)
    await edit(crew, number, "as edited")
    await crew.service.held.approve(number, USER)
    for _ in range(2):
        attempt = await crew.inject("b", number)
        await crew.resolve("b", attempt.id, "absent", crashed=True)

    dead = (await crew.service.dead.all(None, NEWEST, 9, agent_caller("b"))).dead
    view = await crew.service.dead.one(number, agent_caller("b"))
    again = await crew.service.dead.retry(number, USER)

    assert [each.excerpt for each in dead] == ["as edited"]
    assert (view.message.body, view.message.edited_by) == ("as edited", "operator")
    assert (await crew.service.dead.one(number, USER)).message.body == "as sent"
    assert again.edited
    assert again == await row(crew, again.id)
    assert again.approved_ms is not None
    (offer,) = [each for each in await crew.offers("b") if each.message.from_ == "a"]
    assert (offer.message.body, offer.message.edited_by) == ("as edited", "operator")


# --- work that one agent does -----------------------------------------------------------------


async def claimable(hub: Hub) -> dict[str, DeliveryId]:
    sent = await hub.send("tag:crew", sender="a", claimable=True)
    return {each.agent_id: each.id for each in sent.deliveries}


async def test_holding_work_gives_its_claim_back_and_a_yes_takes_none(crew: Hub):
    ids = await claimable(crew)
    message = (await row(crew, ids["b"])).message_id
    await crew.service.claims.take(message, crew.claiming("b"), USER)
    await verdict(crew, ids["b"], by="b", state="held")
    offered = [each.message.id for each in await crew.offers("c")]
    approved = await crew.service.held.approve(ids["b"], USER)
    claim = await crew.service.claims.take(message, crew.claiming("c"), USER)

    assert offered == [message]
    assert (approved.state, approved.claim_token) == (DeliveryState.QUEUED, None)
    assert (claim.state, claim.agent_id) == (ClaimState.HELD, "c")
    assert (await row(crew, ids["b"])).reason == "claimed_by_other"


async def test_work_that_another_has_claimed_meanwhile_is_not_to_be_approved(crew: Hub):
    ids = await claimable(crew)
    message = (await row(crew, ids["b"])).message_id
    await verdict(crew, ids["b"], by="b", state="held")
    await crew.service.claims.take(message, crew.claiming("c"), USER)

    assert await refused(crew.service.held.approve(ids["b"], USER)) == (409, "not_held")


async def test_dropping_work_for_one_leaves_it_to_the_others(crew: Hub):
    ids = await claimable(crew)
    message = (await row(crew, ids["b"])).message_id
    await verdict(crew, ids["b"], by="b", state="held")
    await drop(crew, ids["b"])

    with pytest.raises(HubRefused, match="skipped"):
        await crew.service.claims.take(message, crew.claiming("b"), USER)
    claim = await crew.service.claims.take(message, crew.claiming("c"), USER)
    assert claim.agent_id == "c"


async def test_work_that_waited_for_a_yes_is_not_read_by_whom_another_took_it_from(crew: Hub):
    ids = await claimable(crew)
    message = (await row(crew, ids["b"])).message_id
    await verdict(crew, ids["b"], by="b", state="held")
    await crew.service.claims.take(message, crew.claiming("c"), USER)
    recipient, service = agent_caller("b"), crew.service

    listed = await service.claims.all(None, tuple(ClaimState), MessageId(1 << 53), 9, recipient)
    others = await service.claims.all(
        None, tuple(ClaimState), MessageId(1 << 53), 9, agent_caller("c")
    )

    assert listed.claims == ()
    assert [each.message_id for each in others.claims] == [message]
    assert await refused(service.claims.one(message, recipient)) == (404, "unknown_message")


async def test_a_dead_letter_that_waited_for_a_yes_is_not_read_by_whom_it_was_for(crew: Hub):
    number = await held(crew)
    service = crew.service
    await service.agents.remove(AgentId("b"), USER)
    await crew.register("b")

    listed = await service.dead.all(None, NEWEST, 9, agent_caller("b"))

    assert (await row(crew, number)).state is DeliveryState.DEAD
    assert listed.dead == ()
    assert await refused(service.dead.one(number, agent_caller("b"))) == (
        404, "unknown_dead_letter",
    )  # fmt: skip
    assert len((await service.dead.all(None, NEWEST, 9, agent_caller("a"))).dead) == 1


async def test_work_that_is_offered_anew_keeps_the_yes_and_the_edited_text(crew: Hub):
    sent = await crew.send("b", "as sent", sender="a", claimable=True)
    number = sent.deliveries[0].id
    await verdict(crew, number, by="b", state="held")
    await edit(crew, number, "as edited")
    await crew.service.held.approve(number, USER)
    await crew.claim("take", sent.id, "b")
    attempt = await crew.inject("b", number)
    await crew.resolve("b", attempt.id, "delivered")
    await crew.wait(61)

    (offer,) = await crew.offers("b")
    assert offer.delivery.id != number
    assert (offer.message.body, offer.message.edited_by) == ("as edited", "operator")
    assert offer.delivery.approved_ms is not None
    again = await verdict(crew, offer.delivery.id, by="b", state="held")
    assert again.state is DeliveryState.QUEUED


async def test_a_question_that_was_dropped_is_not_delivered_and_its_asker_is_told_why(crew: Hub):
    number = await held(crew, type="request")
    await drop(crew, number)

    view = await crew.service.messages.one((await row(crew, number)).message_id, agent_caller("a"))
    (answer,) = [each.answer for each in view.deliveries]
    assert answer is not None
    assert (answer.state, answer.reason) == ("not_delivered", "dropped")


async def test_a_held_delivery_still_expires(crew: Hub):
    number = await held(crew, ttlMs=60_000)
    await crew.wait(61)

    assert await refused(crew.service.held.approve(number, USER)) == (409, "not_held")
    assert (await row(crew, number)).state is DeliveryState.EXPIRED
