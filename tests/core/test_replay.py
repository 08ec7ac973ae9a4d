"""Recorded decisions, asked again: the same plugins say the same, others what they would say."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from relay_core import DeliveryPlan, Message, MessageId, Part, Prompt, Session, Verdict
from relay_core.discovery import Candidate, discover
from relay_core.messages import OPERATOR
from relay_core.recorded import Inquiry, RecordedDecision, recorded
from relay_core.replay import ReplayedAnswer, SilentHooks, ask_again
from sample_plugins import built_in, third_party
from values import message, session

ASKED = message(1, subject="build")


def on_message(message: Message, session: Session) -> Verdict:
    return Verdict.hold("lunch")


def on_claim(message: Message, session: Session) -> bool:
    return message.claimed_by is None


def choose_delivery(messages: list[Message], session: Session) -> DeliveryPlan:
    return DeliveryPlan.start(reason=session.activity)


def format_prompt(messages: list[Message], session: Session, plan: DeliveryPlan) -> Prompt:
    parts = tuple(Part(message_id=each.id, body=each.body) for each in messages)
    return Prompt(header=plan.mode, parts=parts)


def louder(messages: list[Message], session: Session, plan: DeliveryPlan) -> Prompt:
    parts = tuple(Part(message_id=each.id, body=each.body.upper()) for each in messages)
    return Prompt(parts=parts)


louder.__name__ = "format_prompt"
STANDARD = built_in("relay.test", on_message, on_claim, choose_delivery, format_prompt)


def hooks(*candidates: Candidate) -> SilentHooks:
    return SilentHooks(discover(candidates))


async def decided(hook: str, *, approved: bool = False, asked: Message = ASKED) -> RecordedDecision:
    """What a host has on record of a question that STANDARD answered."""
    host, plan, seen = hooks(STANDARD), None, session()
    result: object
    trace: Any
    if hook == "format_prompt":
        plan = DeliveryPlan.start()
        result, trace = await host.format_prompt([asked], seen, plan)
    elif hook == "choose_delivery":
        result, trace = await host.choose_delivery([asked], seen)
    else:
        ask: Callable[..., Any] = getattr(host, hook)
        result, trace = await ask(asked, seen)
    inquiry = Inquiry(
        hook=hook,
        session=seen,
        messages=[asked],
        result=result,
        trace=tuple(trace),
        plan=plan,
        approved=approved,
    )
    return recorded(inquiry, host="1", versions={})


async def again(
    then: RecordedDecision, *candidates: Candidate, now: Message = ASKED
) -> ReplayedAnswer:
    return await ask_again(then, {MessageId(1): now}, hooks(*candidates))


@pytest.mark.parametrize("hook", ["on_message", "on_claim", "choose_delivery", "format_prompt"])
async def test_the_same_plugins_decide_the_same(hook: str):
    then = await decided(hook)

    now = await again(then, STANDARD)

    assert now.is_as(then)
    assert [(each.plugin, bytes(each.answer), each.chosen) for each in now.answers] == [
        (each.plugin, bytes(each.answer), each.chosen) for each in then.answers
    ]
    assert (now.unsteady, now.problem) == ((), None)


async def test_another_plugin_decides_something_else():
    def choose_delivery(messages: list[Message], session: Session) -> DeliveryPlan:
        return DeliveryPlan.wait("night")

    then = await decided("choose_delivery")

    now = await again(then, STANDARD, third_party("night-shift", choose_delivery))

    assert not now.is_as(then)
    assert now.answers[0].plugin == "night-shift"
    assert b"night" in bytes(now.result or b"")


async def test_a_prompt_of_the_same_size_with_another_text_differs():
    then = await decided("format_prompt")

    now = await again(then, STANDARD, third_party("loud", louder))

    assert not now.is_as(then)
    assert "BODY 1" in (now.text or "")


async def test_a_session_is_asked_about_as_it_was():
    then = await decided("choose_delivery")
    moved = msgspec.structs.replace(then, session=session(activity="away"))

    assert not (await again(moved, STANDARD)).is_as(then)


async def test_a_claim_is_asked_about_as_it_stood_then():
    then = await decided("on_claim")

    now = await again(then, STANDARD, now=message(1, claimed_by="another", claimed_at=5))

    assert now.is_as(then)


async def test_what_a_human_said_yes_to_is_held_by_no_plugin_now_either():
    then = await decided("on_message", approved=True)

    now = await again(then, STANDARD)

    assert b'"deliver"' in bytes(now.result or b"")
    assert [each.plugin for each in now.answers if each.chosen] == [OPERATOR]


async def test_a_plugin_that_answers_differently_twice_is_named():
    count = itertools.count()

    def choose_delivery(messages: list[Message], session: Session) -> DeliveryPlan:
        return DeliveryPlan.wait(f"for the {next(count)}th time")

    now = await again(
        await decided("choose_delivery"), STANDARD, third_party("fickle", choose_delivery)
    )

    assert now.unsteady == ("fickle",)


async def test_a_text_that_changes_within_its_size_is_noticed_as_well():
    count = itertools.count()

    def format_prompt(messages: list[Message], session: Session, plan: DeliveryPlan) -> Prompt:
        return Prompt(parts=(Part(message_id=MessageId(1), body=str(next(count))),))

    now = await again(
        await decided("format_prompt"), STANDARD, third_party("fickle", format_prompt)
    )

    assert now.unsteady == ("fickle",)


async def test_a_plugin_that_raises_is_shown_among_the_answers_and_the_rest_decide():
    def choose_delivery(messages: list[Message], session: Session) -> DeliveryPlan:
        raise RuntimeError("not today")

    then = await decided("choose_delivery")
    now = await again(then, STANDARD, third_party("broken", choose_delivery))

    assert now.is_as(then)
    assert {each.plugin: b"not today" in bytes(each.answer) for each in now.answers} == {
        "broken": True,
        "relay.test": False,
    }


async def test_no_observer_hears_of_a_replay():
    heard: list[object] = []

    def on_event(event: object, session: Session) -> None:
        heard.append(event)

    def choose_delivery(messages: list[Message], session: Session) -> DeliveryPlan:
        raise RuntimeError("not today")

    await again(
        await decided("choose_delivery"), STANDARD, third_party("x", choose_delivery, on_event)
    )

    assert heard == []


@pytest.mark.parametrize("known", [{}, {MessageId(1): message(1, created_at=3)}])
async def test_a_message_that_is_gone_makes_it_impossible(known: dict[MessageId, Message]):
    now = await ask_again(await decided("on_message"), known, hooks(STANDARD))

    assert now.problem == "the hub has message 1 no more"
    assert not now.is_as(await decided("on_message"))


async def test_that_nobody_answers_is_told():
    now = await again(await decided("format_prompt"))

    assert "no plugin answered format_prompt" in (now.problem or "")


async def test_a_hook_of_another_version_is_told():
    then = msgspec.structs.replace(await decided("on_claim"), hook="on_dream")

    assert "knows no hook on_dream" in ((await again(then, STANDARD)).problem or "")
