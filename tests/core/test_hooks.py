"""Plugins are asked in order, named when they fail, and none of them can stop a delivery."""

import asyncio
import gc
import threading
import weakref
from contextlib import asynccontextmanager

import msgspec
import pytest

from relay_core import (
    AgentId,
    DeliveryPlan,
    MessageId,
    Mode,
    Part,
    PluginConflict,
    PluginError,
    PluginFailed,
    Prompt,
    Registered,
    Registration,
    RegistrationPatch,
    RelayEvent,
    SettingsError,
    Verdict,
    hookimpl,
    hooks,
)
from relay_core.discovery import Candidate, PluginState, discover
from relay_core.hooks import Hooks
from relay_core.workers import run_inline
from sample_plugins import asked, built_in, plugin, ready, third_party
from values import NOW_MS, message, session

ONE = message(1)
TWO = message(2)
START = DeliveryPlan.start()
SOMEBODY = Registration(adapter="memory", provider="memory", cwd="/demo", thread_id="t")
EVENT = Registered(at_ms=NOW_MS, agent_id=AgentId("codex-demo-1"), epoch=1)


def default_choice() -> Candidate:
    def choose_delivery(messages):
        return START

    return built_in("relay.delivery", choose_delivery)


def default_prompt() -> Candidate:
    def format_prompt(messages):
        return prompt_for(messages)

    return built_in("relay.prompt", format_prompt)


def prompt_for(messages, header="default") -> Prompt:
    parts = tuple(Part(message_id=each.id, body=each.body) for each in messages)
    return Prompt(header=header, parts=parts)


def choosing(name: str, plan: object) -> Candidate:
    def choose_delivery(messages):
        return plan

    return third_party(name, choose_delivery)


def told(decisions) -> list[tuple[str, object, bool]]:
    return [(each.plugin, msgspec.json.decode(each.answer), each.chosen) for each in decisions]


class Gate:
    """Lets a test keep a plugin hanging, and end it afterwards."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.opened.wait(30)


@pytest.fixture
def gate():
    kept = Gate()
    yield kept
    kept.opened.set()


@pytest.fixture
def short_limits(monkeypatch):
    for name in ("DECISION_LIMIT_S", "REGISTER_LIMIT_S", "OBSERVER_LIMIT_S", "STOP_LIMIT_S"):
        monkeypatch.setattr(hooks, name, 0.05)


# --- who is asked, and whose answer counts ---------------------------------------------------


async def test_the_first_answer_that_is_not_none_is_taken():
    plans = asked(default_choice(), choosing("b", DeliveryPlan.wait("b")), choosing("a", None))

    plan, decisions = await plans.choose_delivery([ONE], session())

    assert plan.reason == "b"
    assert [(each.plugin, each.chosen) for each in decisions] == [("a", False), ("b", True)]


async def test_without_third_parties_nothing_leaves_the_event_loop():
    threads: list[int] = []

    def choose_delivery(messages):
        threads.append(threading.get_ident())
        return START

    plans = asked(built_in("relay.delivery", choose_delivery))
    await plans.choose_delivery([ONE], session())

    assert threads == [threading.get_ident()]


async def test_a_third_party_decides_in_another_thread():
    threads: list[int] = []

    def choose_delivery(messages):
        threads.append(threading.get_ident())
        return START

    await asked(third_party("a", choose_delivery)).choose_delivery([ONE], session())

    assert threads != [threading.get_ident()]


async def test_a_runner_that_is_passed_in_is_used():
    threads: list[int] = []

    def choose_delivery(messages):
        threads.append(threading.get_ident())
        return START

    plans = asked(third_party("a", choose_delivery), runner=run_inline)
    await plans.choose_delivery([ONE], session())

    assert threads == [threading.get_ident()]


async def test_plugins_see_what_they_ask_for_and_cannot_change_it():
    seen: list[object] = []

    def choose_delivery(session, messages):
        seen.extend([session, messages])
        return START

    await asked(third_party("a", choose_delivery)).choose_delivery([ONE, TWO], session())

    assert seen == [session(), (ONE, TWO)]
    with pytest.raises(AttributeError):
        seen[0].now = 5


VERDICTS = {
    "deliver": Verdict.deliver(),
    "hold": Verdict.hold("quiet", NOW_MS + 1),
    "skip": Verdict.skip("channel"),
}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], "deliver"),
        (["deliver", "hold"], "hold"),
        (["skip", "hold", "deliver"], "skip"),
        (["hold", "deliver", "skip"], "skip"),
    ],
)
async def test_of_all_verdicts_the_strictest_wins(given: list[str], wanted: str):
    def judging(name: str, verdict: Verdict) -> Candidate:
        def on_message(message):
            return verdict

        return third_party(name, on_message)

    judges = asked(*(judging(f"p{at}", VERDICTS[word]) for at, word in enumerate(given)))
    verdict, decisions = await judges.on_message(ONE, session())

    assert verdict.ruling == wanted
    chosen = [each.plugin for each in decisions if each.chosen]
    assert chosen == ([f"p{given.index(wanted)}"] if given else [])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [([], True), ([True], True), ([None], True), ([True, False], False), ([False, True], False)],
)
async def test_any_plugin_can_decline_a_claim(given: list[bool | None], wanted: bool):  # noqa: FBT001
    def claiming(name: str, answer: bool | None) -> Candidate:  # noqa: FBT001
        def on_claim(message):
            return answer

        return third_party(name, on_claim)

    claims = asked(*(claiming(f"p{at}", answer) for at, answer in enumerate(given)))

    assert (await claims.on_claim(ONE, session()))[0] is wanted


@pytest.mark.parametrize("hook", ["choose_delivery", "format_prompt", "format_context"])
async def test_silence_where_an_answer_is_due_names_the_hook_and_what_mends_it(hook: str):
    nobody = asked()
    calls = {
        "choose_delivery": lambda: nobody.choose_delivery([ONE], session()),
        "format_prompt": lambda: nobody.format_prompt([ONE], session(), START),
        "format_context": lambda: nobody.format_context(session()),
    }

    with pytest.raises(PluginError, match=f"no plugin answered {hook}") as caught:
        await calls[hook]()

    assert caught.value.fix is not None
    assert "plugins.block" in caught.value.fix


# --- registration ----------------------------------------------------------------------------


def describing(name: str, **patch: object) -> Candidate:
    def on_register(registration):
        return RegistrationPatch(**patch)

    return third_party(name, on_register)


async def test_patches_are_merged_field_by_field_and_the_one_asked_first_wins():
    raw = msgspec.Raw
    first = describing("a", label="one", meta={"x": raw(b"1")})
    second = describing("b", label="two", tags=("t",), meta={"x": raw(b"2"), "y": raw(b"3")})

    patch, decisions = await asked(second, first).on_register(SOMEBODY, {})

    assert (patch.label, patch.tags, patch.channels) == ("one", ("t",), None)
    assert {key: bytes(value) for key, value in (patch.meta or {}).items()} == {
        "x": b"1",
        "y": b"3",
    }
    assert told(decisions) == [
        ("a", {"label": "one"}, True),
        ("a", {"meta": {"x": 1}}, True),
        ("b", {"label": "two"}, False),
        ("b", {"tags": ["t"]}, True),
        ("b", {"meta": {"x": 2, "y": 3}}, True),
    ]


async def test_a_session_whose_description_fails_does_not_register():
    def on_register(registration):
        raise SettingsError("a broken file")

    def raising_something_else(registration):
        raise KeyError("x")

    raising_something_else.__name__ = "on_register"

    with pytest.raises(SettingsError, match="a broken file"):
        await asked(third_party("a", on_register)).on_register(SOMEBODY, {})
    with pytest.raises(PluginError, match="plugin b: on_register: KeyError"):
        await asked(third_party("b", raising_something_else)).on_register(SOMEBODY, {})


async def test_the_environment_cannot_be_changed_by_a_plugin():
    def on_register(environment):
        environment["X"] = "1"

    with pytest.raises(PluginError, match="TypeError"):
        await asked(third_party("a", on_register)).on_register(SOMEBODY, {"Y": "2"})


async def test_a_built_in_plugin_that_hangs_is_never_left_out_of_a_registration(
    gate: Gate, short_limits
):
    def on_register(registration):
        gate()

    registering = asked(built_in("relay.profiles", on_register))
    for _ in range(2):
        with pytest.raises(PluginError, match=r"relay\.profiles"):
            await registering.on_register(SOMEBODY, {})

    assert gate.calls == 2


# --- a third party's faults ------------------------------------------------------------------


def raising() -> Candidate:
    def choose_delivery(messages):
        raise KeyError("boo")

    return third_party("bad", choose_delivery)


def leaving() -> Candidate:
    def choose_delivery(messages):
        raise SystemExit(1)

    return third_party("bad", choose_delivery)


WRONG: list[object] = [
    "start",
    DeliveryPlan.start(take=0),
    DeliveryPlan.start(take=3),
    DeliveryPlan(mode=Mode.WAIT, until_ms="soon"),
    DeliveryPlan(mode="nap"),
    DeliveryPlan.wait("\ud800"),
]


@pytest.mark.parametrize(
    "culprit", [raising(), leaving(), *(choosing("bad", answer) for answer in WRONG)]
)
async def test_a_third_party_s_fault_is_named_and_the_built_in_answer_is_used(culprit: Candidate):
    failures: list[hooks.Failure] = []
    plans = asked(default_choice(), culprit, failed=failures.append)

    plan, decisions = await plans.choose_delivery([ONE, TWO], session())

    assert plan == START
    assert [(each.plugin, each.hook) for each in failures] == [("bad", "choose_delivery")]
    assert failures[0].agent_id == session().id
    failed, taken = decisions
    assert (failed.plugin, failed.chosen) == ("bad", False)
    assert "error" in msgspec.json.decode(failed.answer)
    assert (taken.plugin, taken.chosen) == ("relay.delivery", True)


async def test_one_fault_does_not_set_a_plugin_aside():
    answers = [DeliveryPlan.wait("well"), "wrong"]

    def choose_delivery(messages):
        return answers.pop()

    plans = asked(default_choice(), third_party("moody", choose_delivery))
    first, _ = await plans.choose_delivery([ONE], session())
    second, _ = await plans.choose_delivery([ONE], session())

    assert (first, second.reason) == (START, "well")
    report = plans.reports()[0]
    assert report.state is PluginState.LOADED
    assert report.reason == (
        "choose_delivery: wrong answer: it must be DeliveryPlan or None, not str"
    )


async def test_a_plan_with_words_for_fields_becomes_the_plan_that_it_means():
    plan, _ = await asked(choosing("a", DeliveryPlan(mode="steer"))).choose_delivery(
        [ONE], session()
    )

    assert plan.mode is Mode.STEER


async def test_a_plugin_that_hangs_is_abandoned_set_aside_and_named(gate: Gate, short_limits):
    def choose_delivery(messages):
        gate()

    failures: list[hooks.Failure] = []
    plans = asked(default_choice(), third_party("slow", choose_delivery), failed=failures.append)
    for _ in range(3):
        plan, _ = await plans.choose_delivery([ONE], session())
        assert plan == START

    assert gate.calls == 1
    assert [each.set_aside for each in failures] == [True]
    report = next(each for each in plans.reports() if each.name == "slow")
    assert report.state is PluginState.SET_ASIDE
    assert report.reason is not None
    assert "is not asked any more" in report.reason


async def test_a_session_that_waits_for_its_turn_is_not_held_up_by_the_same_plugin_again(
    gate: Gate, short_limits
):
    def choose_delivery(messages):
        gate()

    plans = asked(default_choice(), third_party("slow", choose_delivery))
    answers = await asyncio.gather(*(plans.choose_delivery([ONE], session()) for _ in range(5)))

    assert {plan for plan, _ in answers} == {START}
    assert gate.calls == 1


async def test_observers_hear_of_a_plugin_that_failed():
    heard = asyncio.Queue[RelayEvent]()

    async def on_event(event, session):
        heard.put_nowait(event)

    plans = asked(default_choice(), raising(), third_party("watcher", on_event))
    await plans.choose_delivery([ONE], session())
    event = await asyncio.wait_for(heard.get(), 30)

    assert event == PluginFailed(
        at_ms=NOW_MS,
        agent_id=session().id,
        plugin="bad",
        hook="choose_delivery",
        detail="KeyError: 'boo'",
    )


async def test_after_a_hang_the_other_third_parties_are_still_asked(gate: Gate, short_limits):
    def choose_delivery(messages):
        gate()

    plans = asked(
        default_choice(),
        third_party("a-slow", choose_delivery),
        choosing("b-quick", DeliveryPlan.wait("quick")),
    )

    assert (await plans.choose_delivery([ONE], session()))[0].reason == "quick"
    assert (await plans.choose_delivery([ONE], session()))[0].reason == "quick"


async def test_our_own_fault_is_no_third_party_s():
    def choose_delivery(messages):
        raise KeyError("ours")

    plans = asked(built_in("relay.delivery", choose_delivery), choosing("a", None))

    with pytest.raises(PluginError, match=r"plugin relay\.delivery: choose_delivery: KeyError"):
        await plans.choose_delivery([ONE], session())


async def test_in_strict_mode_nothing_is_isolated():
    with pytest.raises(KeyError):
        await asked(default_choice(), raising(), strict=True).choose_delivery([ONE], session())


# --- prompts ---------------------------------------------------------------------------------


def writing(name: str, prompt: object) -> Candidate:
    def format_prompt(messages):
        return prompt

    return third_party(name, format_prompt)


BAD_PROMPTS = [
    Prompt(header="nothing"),
    prompt_for([ONE]),
    prompt_for([TWO, ONE]),
    prompt_for([ONE, TWO, TWO]),
    prompt_for([ONE, message(3)]),
    Prompt(parts=(Part(message_id=MessageId(1), header=(("a:b", "x"),)), *prompt_for([TWO]).parts)),
    Prompt(parts=(Part(message_id=MessageId(1), body=7), *prompt_for([TWO]).parts)),
    "text",
]


@pytest.mark.parametrize("prompt", BAD_PROMPTS)
async def test_a_prompt_that_does_not_show_each_message_once_in_order_is_not_used(prompt: object):
    prompts = asked(default_prompt(), writing("odd", prompt))

    written, decisions = await prompts.format_prompt([ONE, TWO], session(), START)

    assert written == prompt_for([ONE, TWO])
    assert decisions[0].plugin == "odd"
    assert "error" in msgspec.json.decode(decisions[0].answer)


async def test_the_trace_of_a_prompt_holds_no_body():
    secret = message(1, body="the secret word")
    _, decisions = await asked(default_prompt()).format_prompt([secret], session(), START)

    assert told(decisions) == [("relay.prompt", {"messages": [1], "characters": 15}, True)]


def wrapping(name: str, change) -> Candidate:
    @hookimpl(wrapper=True)
    def format_prompt(messages):
        return change((yield))

    return ready(name, plugin(format_prompt))


async def test_wrappers_decorate_what_others_wrote_and_both_are_traced():
    def signed(prompt: Prompt) -> Prompt:
        return msgspec.structs.replace(prompt, footer="signed")

    prompts = asked(default_prompt(), wrapping("signer", signed))
    prompt, decisions = await prompts.format_prompt([ONE], session(), START)

    assert (prompt.header, prompt.footer) == ("default", "signed")
    assert [(each.plugin, each.chosen) for each in decisions] == [
        ("relay.prompt", False),
        ("signer", True),
    ]


async def test_a_wrapper_may_sign_with_more_than_ascii():
    prompts = asked(default_prompt(), wrapping("signer", with_footer("gesehen: größer")))
    prompt, _ = await prompts.format_prompt([ONE], session(), START)

    assert prompt.footer == "gesehen: größer"


async def test_a_wrapper_that_takes_back_what_another_wrote_makes_the_first_the_chosen_one():
    first: list[Prompt] = []

    @hookimpl(wrapper=True)
    def format_prompt(messages):
        prompt = yield
        first.append(prompt)
        return prompt

    prompts = asked(
        default_prompt(),
        ready("c-keeper", plugin(format_prompt)),
        wrapping("b-signer", with_footer("signed")),
        wrapping("a-eraser", lambda _: first[0]),
    )
    prompt, decisions = await prompts.format_prompt([ONE], session(), START)

    assert prompt.footer == ""
    assert [(each.plugin, each.chosen) for each in decisions] == [
        ("relay.prompt", True),
        ("b-signer", False),
    ]


async def test_a_wrapper_that_changes_nothing_is_no_author():
    prompts = asked(default_prompt(), wrapping("watcher", lambda prompt: prompt))
    _, decisions = await prompts.format_prompt([ONE], session(), START)

    assert [(each.plugin, each.chosen) for each in decisions] == [("relay.prompt", True)]


def failing(prompt: Prompt) -> Prompt:
    raise KeyError(prompt.header)


def with_footer(footer: object):
    return lambda prompt: msgspec.structs.replace(prompt, footer=footer)


@pytest.mark.parametrize(
    "change",
    [
        failing,
        lambda _: "text",
        lambda _: prompt_for([TWO]),
        with_footer(7),
        with_footer("\ud800"),
        with_footer(None),
    ],
)
async def test_a_wrapper_s_fault_is_the_wrapper_s(change):
    failures: list[hooks.Failure] = []
    prompts = asked(default_prompt(), wrapping("bad", change), failed=failures.append)

    prompt, _ = await prompts.format_prompt([ONE], session(), START)

    assert prompt == prompt_for([ONE])
    assert [each.plugin for each in failures] == ["bad"]


async def test_a_wrapper_that_yields_twice_or_never_is_left_out():
    @hookimpl(wrapper=True)
    def format_prompt(messages):
        yield
        yield

    twice = ready("twice", plugin(format_prompt))

    @hookimpl(wrapper=True)
    def never(messages):
        if messages is None:
            yield
        return "x"

    never.__name__ = "format_prompt"
    prompts = asked(default_prompt(), twice, ready("never", plugin(never)))
    prompt, decisions = await prompts.format_prompt([ONE], session(), START)

    assert prompt == prompt_for([ONE])
    assert {each.plugin for each in decisions if not each.chosen} == {"twice", "never"}


async def test_what_raises_inside_a_wrapper_is_not_the_wrapper_s_fault():
    def format_prompt(messages):
        raise KeyError("inside")

    failures: list[hooks.Failure] = []
    prompts = asked(
        default_prompt(),
        third_party("inner", format_prompt),
        wrapping("outer", lambda prompt: msgspec.structs.replace(prompt, footer="kept")),
        failed=failures.append,
    )
    prompt, _ = await prompts.format_prompt([ONE], session(), START)

    assert [each.plugin for each in failures] == ["inner"]
    assert prompt.footer == "kept"


async def test_a_wrapper_of_a_hook_that_collects_may_take_verdicts_away():
    @hookimpl(wrapper=True)
    def on_message(message):
        verdicts = yield
        return [each for each in verdicts if each.reason != "channel"]

    def skipping(message):
        return Verdict.skip("channel")

    skipping.__name__ = "on_message"
    judges = asked(third_party("strict", skipping), ready("kind", plugin(on_message)))

    assert (await judges.on_message(ONE, session()))[0] == Verdict.deliver()


async def test_a_wrapper_that_puts_something_wrong_into_the_list_is_named():
    @hookimpl(wrapper=True)
    def on_message(message):
        verdicts = yield
        verdicts.append("skip")
        return verdicts

    failures: list[hooks.Failure] = []
    judges = asked(ready("bad", plugin(on_message)), failed=failures.append)

    assert (await judges.on_message(ONE, session()))[0] == Verdict.deliver()
    assert [each.plugin for each in failures] == ["bad"]


async def test_what_is_registered_later_is_not_asked():
    found = discover([default_choice()])
    plans = Hooks(found.manager, reports=found.reports)

    @hookimpl
    def choose_delivery(messages):
        return DeliveryPlan.wait("late")

    found.manager.register(plugin(choose_delivery), "late")

    assert (await plans.choose_delivery([ONE], session()))[0] == START


async def test_a_trace_keeps_no_body_alive():
    class Body(str):
        __slots__ = ("__weakref__",)

    body = Body("long")
    kept = weakref.ref(body)
    prompts = asked(default_prompt())
    decisions = (await prompts.format_prompt([message(1, body=body)], session(), START))[1]
    del body
    gc.collect()

    assert kept() is None
    assert told(decisions) == [("relay.prompt", {"messages": [1], "characters": 4}, True)]


# --- observers -------------------------------------------------------------------------------


async def test_every_observer_hears_of_an_event_whatever_the_others_do():
    heard: list[str] = []

    def raising_one(event):
        raise KeyError("x")

    def plain(event, session):
        heard.append("plain")

    async def later(event):
        await asyncio.sleep(0)
        heard.append("later")

    async def raising_later(event):
        raise ValueError("y")

    candidates = []
    for name, function in {"a": raising_one, "b": plain, "c": later, "d": raising_later}.items():
        function.__name__ = "on_event"
        candidates.append(third_party(name, function))
    failures: list[hooks.Failure] = []
    await asked(*candidates, failed=failures.append).on_event(EVENT, None)

    assert sorted(heard) == ["later", "plain"]
    assert sorted(each.plugin for each in failures) == ["a", "d"]


async def test_an_observer_that_hangs_is_not_told_again(gate: Gate, short_limits):
    def on_event(event):
        gate()

    observers = asked(third_party("slow", on_event))
    await observers.on_event(EVENT, session())
    await observers.on_event(EVENT, session())

    assert gate.calls == 1
    assert observers.reports()[0].state is PluginState.SET_ASIDE


async def test_an_observer_that_waits_too_long_is_cancelled_and_told_again(short_limits):
    calls: list[int] = []

    async def on_event(event):
        calls.append(1)
        await asyncio.sleep(60)

    observers = asked(third_party("slow", on_event))
    await observers.on_event(EVENT, None)
    await observers.on_event(EVENT, None)

    assert len(calls) == 2


# --- contributions ---------------------------------------------------------------------------


def test_each_plugin_contributes_through_a_registrar_of_its_own():
    spoken: list[str] = []

    def register_adapters(register):
        spoken.append(register)

    plugins = asked(third_party("b", register_adapters), third_party("a", register_adapters))
    plugins.register_adapters(lambda name: f"registrar of {name}")

    assert spoken == ["registrar of a", "registrar of b"]


def test_a_name_that_is_taken_is_told_and_any_other_fault_is_isolated():
    def register_adapters(register):
        raise register

    def contribute(error: Exception) -> Hooks:
        plugins = asked(third_party("a", register_adapters))
        plugins.register_adapters(lambda _: error)
        return plugins

    with pytest.raises(PluginConflict):
        contribute(PluginConflict("a", "taken"))
    assert contribute(KeyError("x")).reports()[0].reason == "register_adapters: KeyError: 'x'"


def starting(name: str, log: list[str], *, fails: str = "") -> Candidate:
    @asynccontextmanager
    async def start(relay):
        if fails == "before":
            raise KeyError("before")
        log.append(f"{name} up with {relay}")
        yield
        log.append(f"{name} down")
        if fails == "after":
            raise KeyError("after")

    return third_party(name, start)


async def test_each_plugin_is_kept_open_while_the_host_runs():
    log: list[str] = []
    plugins = asked(starting("a", log), starting("b", log))

    async with plugins.start(lambda name: f"relay of {name}"):
        assert log == ["a up with relay of a", "b up with relay of b"]

    assert sorted(log[2:]) == ["a down", "b down"]


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_plugin_that_cannot_start_or_stop_stops_nobody_else(fails: str):
    log: list[str] = []
    failures: list[hooks.Failure] = []
    plugins = asked(starting("a", log, fails=fails), starting("b", log), failed=failures.append)

    async with plugins.start(lambda name: name):
        pass

    assert "b down" in log
    assert [(each.plugin, each.detail) for each in failures] == [("a", f"KeyError: '{fails}'")]


async def test_a_background_task_of_a_plugin_that_fails_does_not_cancel_the_host():
    failures: list[hooks.Failure] = []
    told = asyncio.Event()

    def note(failure: hooks.Failure) -> None:
        failures.append(failure)
        told.set()

    @asynccontextmanager
    async def start(relay):
        async def fail() -> None:
            raise KeyError("later")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            yield

    plugins = asked(third_party("a", start), failed=note)
    async with plugins.start(lambda name: name):
        await asyncio.wait_for(told.wait(), 30)
        still_here = True

    assert still_here
    assert [each.plugin for each in failures] == ["a"]


async def test_a_plugin_that_does_not_stop_is_cancelled_and_named(short_limits):
    @asynccontextmanager
    async def start(relay):
        yield
        await asyncio.sleep(3600)

    failures: list[hooks.Failure] = []
    plugins = asked(third_party("a", start), failed=failures.append)
    async with plugins.start(lambda name: name):
        pass

    assert [(each.plugin, each.hook) for each in failures] == [("a", "start")]


async def test_a_start_that_gives_no_context_manager_is_named():
    def start(relay):
        return "x"

    plugins = asked(third_party("a", start))
    async with plugins.start(lambda name: name):
        pass

    reason = plugins.reports()[0].reason
    assert reason == "start: TypeError: it must give an async context manager"
