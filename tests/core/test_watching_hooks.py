"""Whoever watches the hooks sees each plugin's call, the silent ones as well."""

import itertools
import threading
from contextlib import asynccontextmanager

import msgspec
import pytest

from relay_core import (
    AgentId,
    Delivered,
    DeliveryId,
    DeliveryPlan,
    MessageId,
    Part,
    Prompt,
    Registration,
    RegistrationPatch,
    TurnEnded,
    TurnStatus,
    Verdict,
    hookimpl,
    hooks,
)
from relay_core.hooks import Hooks
from relay_core.plans import HookCall
from sample_plugins import asked, built_in, plugin, ready, third_party
from values import NOW_MS, message, session

ONE, TWO = message(1), message(2)
START = DeliveryPlan.start()


def silent(messages):
    return None


def starting(messages):
    return START


def named(name, function):
    function.__name__ = name
    return function


def seconds():
    """A timer that is a second later each time."""
    count = itertools.count()
    return lambda: float(next(count))


def seen_by(plugins: Hooks) -> tuple[list[HookCall], object]:
    calls: list[HookCall] = []
    return calls, plugins.watch(calls.append)


def plans() -> Hooks:
    def choose_delivery(messages):
        return None

    def deciding(messages):
        return START

    return asked(
        built_in("relay.delivery", named("choose_delivery", deciding)),
        third_party("quiet", choose_delivery),
        timer=seconds(),
    )


async def shown_beside_the_default(choose_delivery) -> list[HookCall]:
    asking = asked(
        built_in("relay.delivery", named("choose_delivery", starting)),
        third_party("bad", choose_delivery),
    )
    calls, watching = seen_by(asking)
    with watching:
        await asking.choose_delivery([ONE], session())
    return calls


async def test_each_plugin_that_was_called_is_shown_with_its_time_and_its_answer():
    asking = plans()
    calls, watching = seen_by(asking)

    with watching:
        await asking.choose_delivery([ONE, TWO], session())

    about = {"agent_id": session().id, "message_ids": (1, 2), "at_ms": NOW_MS}
    assert calls == [
        HookCall(
            hook="choose_delivery",
            plugin="quiet",
            took_us=1e6,
            answer=msgspec.Raw(b"null"),
            **about,
        ),
        HookCall(
            hook="choose_delivery",
            plugin="relay.delivery",
            took_us=1e6,
            answer=msgspec.Raw(msgspec.json.encode(START)),
            **about,
        ),
    ]


async def test_plugins_that_all_come_with_the_relay_are_shown_as_well():
    def on_message(message):
        return Verdict.hold("quiet")

    judging = asked(built_in("relay.attention", on_message))
    calls, watching = seen_by(judging)

    with watching:
        await judging.on_message(ONE, session())

    assert [(each.plugin, each.message_ids) for each in calls] == [("relay.attention", (1,))]


async def test_who_has_stopped_watching_sees_nothing_more():
    asking = plans()
    first, watching = seen_by(asking)
    second, watching_too = seen_by(asking)

    with watching:
        with watching_too:
            await asking.choose_delivery([ONE], session())
        await asking.choose_delivery([ONE], session())
    await asking.choose_delivery([ONE], session())

    assert (len(first), len(second)) == (4, 2)


async def test_watching_twice_shows_each_call_twice():
    asking = plans()
    calls: list[HookCall] = []

    with asking.watch(calls.append), asking.watch(calls.append):
        await asking.choose_delivery([ONE], session())

    assert len(calls) == 4


async def test_a_wrapper_is_shown_with_the_time_before_and_after_its_yield():
    @hookimpl(wrapper=True)
    def format_prompt(messages):
        prompt = yield
        return msgspec.structs.replace(prompt, footer="signed")

    def writing(messages):
        parts = tuple(Part(message_id=each.id, body="secret") for each in messages)
        return Prompt(parts=parts)

    prompts = asked(
        built_in("relay.prompt", named("format_prompt", writing)),
        ready("signer", plugin(format_prompt)),
        timer=seconds(),
    )
    calls, watching = seen_by(prompts)

    with watching:
        await prompts.format_prompt([ONE], session(), START)

    assert [(each.plugin, each.took_us) for each in calls] == [
        ("relay.prompt", 1e6),
        ("signer", 2e6),
    ]
    assert all(b"secret" not in bytes(each.answer) for each in calls)


async def test_a_fault_is_shown_where_it_happened_and_so_is_the_round_without_it():
    def choose_delivery(messages):
        raise KeyError("boo")

    calls = await shown_beside_the_default(choose_delivery)

    assert [(each.plugin, each.error) for each in calls] == [
        ("bad", "KeyError: 'boo'"),
        ("relay.delivery", None),
    ]
    assert bytes(calls[0].answer) == b"null"


async def test_a_wrong_answer_is_shown_as_its_plugin_s_fault():
    def choose_delivery(messages):
        return "start"

    calls = await shown_beside_the_default(choose_delivery)

    assert calls[0].error is not None
    assert "it must be DeliveryPlan or None, not str" in calls[0].error


async def test_a_wrapper_that_lets_another_s_error_pass_has_none_of_its_own():
    @hookimpl(wrapper=True)
    def format_prompt(messages):
        return (yield)

    def failing(messages):
        raise KeyError("inside")

    prompts = asked(
        third_party("inner", named("format_prompt", failing)),
        ready("outer", plugin(format_prompt)),
    )
    calls, watching = seen_by(prompts)

    with watching, pytest.raises(hooks.PluginError):
        await prompts.format_prompt([ONE], session(), START)

    first_round = [(each.plugin, each.error) for each in calls[:2]]
    assert first_round == [("inner", "KeyError: 'inside'"), ("outer", None)]


async def test_a_plugin_that_hangs_is_shown_with_its_limit(monkeypatch):
    gate = threading.Event()

    def choose_delivery(messages):
        gate.wait(30)

    monkeypatch.setattr(hooks, "DECISION_LIMIT_S", 0.05)
    asking = asked(
        built_in("relay.delivery", named("choose_delivery", starting)),
        third_party("slow", choose_delivery),
    )
    calls, watching = seen_by(asking)

    with watching:
        await asking.choose_delivery([ONE], session())
    gate.set()

    assert (calls[0].plugin, calls[0].took_us) == ("slow", 50_000)
    assert calls[0].error == "took longer than 0.05 s and is not asked any more"


async def test_a_registration_is_shown_without_an_agent():
    def on_register(registration):
        return RegistrationPatch(label="one")

    registering = asked(third_party("a", on_register))
    calls, watching = seen_by(registering)

    with watching:
        await registering.on_register(
            Registration(adapter="memory", provider="memory", cwd="/demo", thread_id="t"), {}
        )

    (call,) = calls
    assert (call.plugin, call.agent_id, call.message_ids, call.at_ms) == ("a", None, (), 0)
    assert msgspec.json.decode(call.answer)["label"] == "one"


async def test_observers_are_shown_with_the_event_they_were_told_of():
    async def on_event(event):
        pass

    def failing(event):
        raise KeyError("x")

    observers = asked(third_party("a", on_event), third_party("b", named("on_event", failing)))
    calls, watching = seen_by(observers)
    agent_id = AgentId("codex-demo-1")
    delivered = Delivered(
        at_ms=7, agent_id=agent_id, delivery_id=DeliveryId(1), message_id=MessageId(3)
    )
    ended = TurnEnded(
        at_ms=8,
        agent_id=agent_id,
        turn_id="t",
        status=TurnStatus.COMPLETED,
        message_ids=(MessageId(3), MessageId(4)),
    )

    with watching:
        await observers.on_event(delivered, session())
        await observers.on_event(ended, None)

    shown = {(each.plugin, each.error, each.message_ids, each.at_ms) for each in calls}
    assert shown == {
        ("a", None, (3,), 7),
        ("b", "KeyError: 'x'", (3,), 7),
        ("a", None, (3, 4), 8),
        ("b", "KeyError: 'x'", (3, 4), 8),
    }


async def test_starting_and_contributing_are_shown():
    @asynccontextmanager
    async def start(relay):
        yield

    @asynccontextmanager
    async def breaking(relay):
        raise KeyError("no")
        yield

    def register_adapters(register):
        pass

    plugins = asked(
        third_party("a", start, register_adapters), third_party("b", named("start", breaking))
    )
    calls, watching = seen_by(plugins)

    with watching:
        plugins.register_adapters(lambda name: name)
        async with plugins.start(lambda name: name):
            pass

    assert [(each.hook, each.plugin, each.error) for each in calls] == [
        ("register_adapters", "a", None),
        ("start", "a", None),
        ("start", "b", "KeyError: 'no'"),
    ]
