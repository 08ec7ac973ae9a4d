"""Whatever a plugin does wrong, it is named, and messages go on as if it were not there."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from relay_core import PluginConflict, PluginFailed, RelayEvent, hookimpl, hooks
from relay_core.discovery import PluginReport, PluginState
from relay_core.hookspecs import DECISION_HOOKS
from relay_core.testing import Decisions, Harness, HarnessError
from sample_plugins import plugin

FAULTY = "faulty"
WHOSE = "plugin faulty of under-test"
ASKED_OF_A_MESSAGE = ("on_message", "on_claim", "choose_delivery", "format_prompt")

pytestmark = pytest.mark.relay(strict=False)


def implementing(hook: str, body: Callable[[], object], **options: bool) -> ModuleType:
    """A plugin with one hook that does this."""

    def implementation():
        return body()

    implementation.__name__ = hook
    return plugin(hookimpl(**options)(implementation))


def raising() -> object:
    raise ZeroDivisionError("boo")


def answering_wrongly() -> object:
    return 7.5


TOLD_OF = {
    raising: "ZeroDivisionError: boo",
    answering_wrongly: "wrong answer: it must be ",
}


def report(relay: Harness, name: str = FAULTY) -> PluginReport:
    (found,) = [each for each in relay.plugins if each.name == name]
    return found


def delivered(relay: Harness) -> str:
    """Send work, see it arrive as the built-in plugins have it, and give its prompt."""
    session = relay.open(label="shop", capabilities=("build",))
    before = len(session.prompts)
    sent = relay.send("cap:build", "the build is green", claimable=True)
    relay.until(sent, within_s=120)

    assert len(session.prompts) == before + 1
    assert session.parts[-1].body == "the build is green"
    assert session.agent_id in session.context
    return session.prompts[-1]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> str:
    """The prompt where there is no plugin but the built-in ones."""
    with Harness(tmp_path_factory.mktemp("untouched")) as relay:
        return delivered(relay)


# --- what a plugin does when it is asked -----------------------------------------------------


@pytest.mark.parametrize("hook", sorted(DECISION_HOOKS - {"on_register"}))
@pytest.mark.parametrize("body", [raising, answering_wrongly])
def test_a_decision_that_fails_is_taken_without_the_plugin(
    relay: Harness, decisions: Decisions, untouched: str, hook: str, body
):
    relay.load(implementing(hook, body), FAULTY)

    assert headings(delivered(relay)) == headings(untouched)

    (failure, *_) = relay.failures
    assert (failure.plugin, failure.hook, failure.set_aside) == (FAULTY, hook, False)
    assert failure.detail.startswith(TOLD_OF[body])
    assert (report(relay).state, report(relay).distribution) == (PluginState.LOADED, "under-test")
    assert f"{hook}: {failure.detail}" == report(relay).reason
    chosen = [each for each in decisions.of(hook) if each.chosen]
    assert FAULTY not in {each.plugin for each in chosen}
    assert all(each.plugin.startswith("relay.") for each in chosen)


def headings(prompt: str) -> list[str]:
    """A prompt without what differs from run to run: ids and times."""
    return [line.split(":")[0] for line in prompt.splitlines() if "fence" not in line.lower()]


@pytest.mark.parametrize("hook", ASKED_OF_A_MESSAGE)
def test_whoever_listens_hears_of_a_decision_that_failed(relay: Harness, hook: str):
    heard: list[tuple[str, str]] = []

    @hookimpl
    def on_event(event):
        if isinstance(event, PluginFailed):
            heard.append((event.plugin, event.hook))

    relay.load(implementing(hook, raising), FAULTY)
    relay.load(plugin(on_event), "listener")

    delivered(relay)
    relay.advance(1)

    assert set(heard) == {(FAULTY, hook)}


@pytest.mark.parametrize("body", [raising, answering_wrongly])
def test_a_session_that_a_plugin_cannot_describe_does_not_register_and_says_whose_fault_it_is(
    relay: Harness, body
):
    relay.load(implementing("on_register", body), FAULTY)

    with pytest.raises(HarnessError, match="plugin faulty: on_register"):
        relay.open()
    assert report(relay).reason is not None


@pytest.mark.parametrize("hook", ["start", "register_adapters", "on_event"])
def test_what_fails_beside_the_decisions_stops_nothing(relay: Harness, caplog, hook: str):
    relay.load(implementing(hook, raising), FAULTY)

    delivered(relay)
    relay.advance(1)

    assert {(each.plugin, each.hook) for each in relay.failures} == {(FAULTY, hook)}
    assert report(relay).reason == f"{hook}: ZeroDivisionError: boo"
    assert f"{WHOSE}: {hook}: " in caplog.text


def test_a_start_that_gives_something_else_is_named(relay: Harness):
    relay.load(implementing("start", answering_wrongly), FAULTY)

    delivered(relay)

    assert report(relay).reason == "start: TypeError: it must give an async context manager"


def test_a_wrapper_that_fails_is_left_out(relay: Harness, decisions: Decisions):
    @hookimpl(wrapper=True)
    def format_prompt():
        yield
        raise ZeroDivisionError("boo")

    relay.load(plugin(format_prompt), FAULTY)

    delivered(relay)

    assert decisions.chosen("format_prompt").plugin == "relay.prompt"
    assert report(relay).reason == "format_prompt: ZeroDivisionError: boo"


def test_of_two_plugins_only_the_faulty_one_is_left_out(relay: Harness, decisions: Decisions):
    seen: list[str] = []
    relay.load(implementing("format_prompt", raising), FAULTY)
    relay.load(implementing("format_prompt", lambda: seen.append("asked")), "good")
    relay.order(FAULTY, "good")

    delivered(relay)

    assert seen
    assert decisions.chosen("format_prompt").plugin == "relay.prompt"
    assert report(relay, "good").reason is None


# --- what hangs ------------------------------------------------------------------------------


@pytest.fixture
def hang(monkeypatch) -> Iterator[Callable[[], object]]:
    """A call that lasts until the test is over, under limits that are soon reached."""
    for name in ("DECISION_LIMIT_S", "REGISTER_LIMIT_S", "OBSERVER_LIMIT_S", "START_LIMIT_S"):
        monkeypatch.setattr(hooks, name, 0.2)
    over = threading.Event()
    yield lambda: over.wait(60) and None
    over.set()


@pytest.mark.relay(strict=False, real_time=True)
@pytest.mark.parametrize("hook", sorted(DECISION_HOOKS))
def test_a_decision_that_hangs_is_abandoned_and_its_plugin_asked_no_more(
    relay: Harness, hang, caplog, hook: str
):
    relay.load(implementing(hook, hang), FAULTY)

    delivered(relay)

    assert [(each.plugin, each.hook, each.set_aside) for each in relay.failures] == [
        (FAULTY, hook, True)
    ]
    assert report(relay).state is PluginState.SET_ASIDE
    assert report(relay).reason == f"{hook}: took longer than 0.2 s and is not asked any more"
    assert WHOSE in caplog.text


@pytest.mark.relay(strict=False, real_time=True)
def test_an_observer_that_hangs_holds_nobody_up(relay: Harness, hang):
    relay.load(implementing("on_event", hang), FAULTY)

    delivered(relay)
    relay.wait_for("it is named", lambda: bool(relay.failures), within_s=20)

    assert report(relay).state is PluginState.SET_ASIDE


@pytest.mark.relay(strict=False, real_time=True)
def test_an_observer_that_waits_for_ever_is_cancelled_and_told_again(relay: Harness, hang):
    import asyncio

    told: list[RelayEvent] = []

    @hookimpl
    async def on_event(event):
        told.append(event)
        await asyncio.Event().wait()

    relay.load(plugin(on_event), FAULTY)
    delivered(relay)
    relay.wait_for("it is named", lambda: bool(relay.failures), within_s=20)

    assert len(told) > 1
    assert report(relay).state is PluginState.LOADED


@pytest.mark.relay(strict=False, real_time=True)
def test_a_start_that_never_is_ready_is_given_up(relay: Harness, hang):
    import asyncio

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(relay):
        await asyncio.Event().wait()
        yield

    relay.load(plugin(start), FAULTY)

    delivered(relay)

    assert report(relay).reason == "start: did not start within 0.2 s"


# --- what is wrong before it is asked --------------------------------------------------------


def misspelt():
    def on_mesage(message): ...

    return plugin(hookimpl(on_mesage))


def wrong_argument():
    def on_message(letter): ...

    return plugin(hookimpl(on_message))


def coroutine():
    async def choose_delivery(messages): ...

    return plugin(hookimpl(choose_delivery))


def unmarked():
    def format_prompt(messages): ...

    return plugin(format_prompt)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (misspelt, "there is no hook on_mesage (did you mean on_message?)"),
        (wrong_argument, "on_message has no argument letter (there are message, session; "),
        (coroutine, "choose_delivery must be a plain function, not a coroutine"),
        (unmarked, "implements no hook (put @hookimpl before format_prompt)"),
    ],
)
def test_a_plugin_that_cannot_be_asked_is_refused_and_the_relay_goes_on(
    relay: Harness, untouched: str, made: Callable[[], ModuleType], told: str
):
    relay.load(made(), FAULTY)

    assert headings(delivered(relay)) == headings(untouched)

    found = report(relay)
    assert (found.state, found.distribution, found.hooks) == (PluginState.FAILED, "under-test", ())
    assert (found.reason or "").startswith(told)


def test_a_name_of_the_relays_own_is_refused_with_its_distribution(relay: Harness):
    relay.load(implementing("format_prompt", raising), "relay.better")

    delivered(relay)

    assert report(relay, "relay.better").reason == "under-test may not use a name of relay.*"


def test_two_plugins_of_one_name_refuse_the_host_and_name_both(relay: Harness):
    relay.load(implementing("format_prompt", raising), FAULTY)
    relay.load(implementing("on_claim", raising), FAULTY)

    with pytest.raises(PluginConflict, match="both under-test and under-test bring") as caught:
        relay.open()
    assert "plugins.block" in (caught.value.fix or "")


def test_the_log_names_the_plugin_on_one_line(relay: Harness, caplog):
    def two_lines() -> object:
        raise ValueError("one\ntwo")

    relay.load(implementing("on_claim", two_lines), FAULTY)
    with caplog.at_level(logging.WARNING):
        delivered(relay)

    assert f"{WHOSE}: on_claim: ValueError: one two" in caplog.messages
