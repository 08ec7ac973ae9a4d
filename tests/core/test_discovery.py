"""From entry points to plugins: allowed, ordered, checked, named."""

from contextlib import asynccontextmanager

import pytest

from relay_core import DeliveryPlan, PluginConflict, PluginError, hookimpl
from relay_core.discovery import (
    DISTRIBUTION,
    Candidate,
    PluginReport,
    Plugins,
    PluginState,
    discover,
    installed,
)
from sample_plugins import built_in, plugin, ready, third_party
from values import message, session


def choose_delivery(messages, session): ...


def format_prompt(messages): ...


def never() -> object:
    raise AssertionError("it was imported")


def untouched(name: str, distribution: str | None = None) -> Candidate:
    """A plugin that fails the test when it is imported."""
    return Candidate(name, distribution or f"{name}-dist", "1.0", never)


def only_report(plugins: Plugins) -> PluginReport:
    (report,) = plugins.reports
    return report


def answering(word: str, **options: bool):
    @hookimpl(**options)
    def choose_delivery(messages):
        return DeliveryPlan.wait(word)

    return plugin(choose_delivery)


def first_answer(plugins: Plugins) -> str:
    plan = plugins.manager.hook.choose_delivery(messages=(message(),), session=session())
    return plan.reason


def test_the_built_in_plugins_are_found_and_load():
    plugins = discover(installed(), strict=True)
    ours = {each.name: each for each in plugins.reports if each.distribution == DISTRIBUTION}

    names = ["attention", "channels", "claims", "codex", "delivery", "echo", "profiles", "prompt"]
    assert set(ours) == {f"relay.{name}" for name in names}
    assert {each.state for each in ours.values()} == {PluginState.LOADED}


def test_every_built_in_answer_can_be_overridden():
    manager = discover(installed(), strict=True).manager
    implementations = [
        each
        for caller in vars(manager.hook).values()
        if hasattr(caller, "get_hookimpls")
        for each in caller.get_hookimpls()
    ]

    assert implementations
    assert [each for each in implementations if not each.trylast and not each.wrapper] == []


def test_a_report_says_what_was_loaded():
    plugins = discover([third_party("polite", format_prompt, choose_delivery)])

    assert only_report(plugins) == PluginReport(
        name="polite",
        distribution="polite-dist",
        version="1.0",
        state=PluginState.LOADED,
        hooks=("choose_delivery", "format_prompt"),
        place=1,
    )


@pytest.mark.parametrize("name", ["polite", "polite-dist", "Polite_Dist", "POLITE.dist"])
def test_what_is_blocked_is_never_imported(name: str):
    report = only_report(discover([untouched("polite")], block=[name]))

    assert (report.state, report.reason) == (PluginState.BLOCKED, "in plugins.block")


def test_only_loads_nothing_else_not_even_the_built_in_plugins():
    plugins = discover(
        [
            third_party("polite", format_prompt),
            untouched("rude"),
            untouched("relay.prompt", DISTRIBUTION),
        ],
        only=["polite-dist"],
    )

    states = {each.name: each.state for each in plugins.reports}
    assert states == {"polite": "loaded", "relay.prompt": "blocked", "rude": "blocked"}


def test_an_empty_only_loads_nothing():
    assert only_report(discover([untouched("rude")], only=[])).state is PluginState.BLOCKED


def test_block_beats_only():
    report = only_report(discover([untouched("polite")], only=["polite"], block=["polite"]))

    assert report.state is PluginState.BLOCKED


def test_names_that_nothing_answers_to_are_told():
    plugins = discover(
        [third_party("polite", format_prompt)], block=["politee"], order=["polite", "gone"]
    )

    assert plugins.unmatched == ("politee", "gone")


def test_without_an_order_names_decide_and_never_the_order_of_install():
    candidates = [ready(name, answering(name)) for name in ("b", "c", "a")]

    assert first_answer(discover(candidates)) == "a"
    assert first_answer(discover(candidates[::-1])) == "a"


@pytest.mark.parametrize("order", [["c", "a"], ["c-dist"], ["C_Dist", "b"]])
def test_the_settings_order_comes_before_the_names(order: list[str]):
    candidates = [ready(name, answering(name)) for name in ("a", "b", "c")]

    assert first_answer(discover(candidates, order=order)) == "c"


def test_built_in_plugins_are_asked_last_even_where_a_third_party_is_modest():
    ours = Candidate("relay.delivery", DISTRIBUTION, "1", lambda: answering("o", trylast=True))

    assert first_answer(discover([ours, ready("z", answering("z", trylast=True))])) == "z"


def test_two_plugins_of_one_name_are_refused_and_both_distributions_are_named():
    candidates = [untouched("polite", "one"), untouched("polite", "two")]

    with pytest.raises(PluginConflict) as caught:
        discover(candidates)

    assert "one and two" in caught.value.detail
    assert caught.value.fix is not None
    assert "plugins.block" in caught.value.fix


def test_blocking_one_distribution_ends_the_conflict():
    one = Candidate("polite", "one", "1", lambda: answering("1"))
    candidates = [one, untouched("polite", "two")]

    states = [each.state for each in discover(candidates, block=["two"]).reports]
    assert states == [PluginState.LOADED, PluginState.BLOCKED]


def test_a_third_party_may_not_take_a_name_of_ours():
    report = only_report(discover([untouched("relay.prompt2", "evil")]))

    assert report.state is PluginState.FAILED
    assert report.reason == "evil may not use a name of relay.*"


def raising(error: BaseException) -> Candidate:
    def load() -> object:
        raise error

    return Candidate("broken", "broken-dist", "1.0", load)


@pytest.mark.parametrize(
    "error", [ImportError("no module\nnamed x"), SyntaxError("bad"), SystemExit(3), ValueError()]
)
def test_a_plugin_that_cannot_be_imported_is_named_and_the_rest_go_on(error: BaseException):
    plugins = discover([raising(error), ready("polite", answering("yes"))])
    broken, polite = plugins.reports

    assert broken.state is PluginState.FAILED
    assert broken.reason is not None
    assert broken.reason.startswith(f"broken-dist cannot be imported: {type(error).__name__}: ")
    assert "\n" not in broken.reason
    assert polite.state is PluginState.LOADED
    assert first_answer(plugins) == "yes"


def test_strict_raises_what_is_otherwise_reported():
    with pytest.raises(PluginError) as caught:
        discover([raising(ImportError("x"))], strict=True)

    assert caught.value.plugin == "broken"


def chose_delivery(messages, session): ...


def wrong_argument():
    def choose_delivery(message): ...

    return choose_delivery


def argument_with_default():
    def choose_delivery(messages=()): ...

    return choose_delivery


def coroutine():
    async def on_message(message): ...

    return on_message


def coroutine_start():
    async def start(relay): ...

    return start


def bare_generator_start():
    async def start(relay):
        yield

    return start


REFUSED = [
    (chose_delivery, "there is no hook chose_delivery (did you mean choose_delivery?)"),
    (wrong_argument(), "message"),
    (argument_with_default(), "messages has a default, so it would never be passed"),
    (coroutine(), "on_message must be a plain function, not a coroutine"),
    (coroutine_start(), "start must be a plain function"),
    (bare_generator_start(), "start is an async generator (put @asynccontextmanager below"),
]


@pytest.mark.parametrize(("function", "reason"), REFUSED)
def test_a_hook_that_could_not_be_asked_is_refused_with_its_reason(function, reason: str):
    report = only_report(discover([third_party("odd", function)]))

    assert report.state is PluginState.FAILED
    assert report.reason is not None
    assert reason in report.reason
    assert report.hooks == ()


def test_of_a_refused_plugin_nothing_is_asked():
    def on_claim(message): ...

    plugins = discover([third_party("odd", on_claim, chose_delivery)])

    assert plugins.manager.list_name_plugin() == []


def test_a_hook_of_a_newer_relay_is_ignored_where_it_is_optional():
    @hookimpl(optionalhook=True)
    def on_tomorrow(): ...

    report = only_report(discover([ready("new", plugin(on_tomorrow, hookimpl(format_prompt)))]))

    assert report.state is PluginState.LOADED


def test_a_start_that_is_an_async_context_manager_is_taken():
    @asynccontextmanager
    async def start(relay):
        yield

    assert only_report(discover([third_party("tidy", start)])).state is PluginState.LOADED


@pytest.mark.parametrize(
    ("options", "name"),
    [({"wrapper": True}, "on_event"), ({"hookwrapper": True}, "format_prompt")],
)
def test_wrappers_are_for_decisions_and_of_the_new_kind(options, name: str):
    def wrapped():
        yield

    wrapped.__name__ = name
    report = only_report(discover([ready("odd", plugin(hookimpl(**options)(wrapped)))]))

    assert report.state is PluginState.FAILED


@pytest.mark.parametrize("value", [object(), None, dict, type("Plugin", (), {})])
def test_what_is_no_plugin_at_all_is_reported(value: object):
    assert only_report(discover([ready("odd", value)])).state is PluginState.FAILED


def test_a_forgotten_mark_is_pointed_out():
    def format_prompt(messages): ...

    report = only_report(discover([ready("odd", plugin(format_prompt))]))

    assert report.reason == "implements no hook (put @hookimpl before format_prompt)"


def test_one_object_under_two_names_fails_for_the_second():
    shared = answering("x")
    plugins = discover([ready("a", shared), ready("b", shared)])

    assert sorted(each.state for each in plugins.reports) == ["failed", "loaded"]


def test_an_instance_can_be_a_plugin():
    class Polite:
        @hookimpl
        def choose_delivery(self, messages):
            return DeliveryPlan.wait("bound")

    assert first_answer(discover([ready("polite", Polite())])) == "bound"


def test_a_built_in_plugin_is_blocked_like_any_other():
    plugins = discover([built_in("relay.prompt", format_prompt)], block=["relay.prompt"])

    assert only_report(plugins).state is PluginState.BLOCKED
