"""What goes in a later release goes on working, and says so."""

import importlib
import sys
import warnings
from importlib import metadata
from types import ModuleType

import pytest

import relay_core
from relay_core import RelayDeprecated, Verdict, deprecations, hookimpl, hookspecs
from relay_core.deprecations import Departing, heard
from relay_core.discovery import DISTRIBUTION, Candidate, PluginState, check, discover, new_manager
from relay_core.hooks import Hooks
from relay_core.hookspecs import HOOK_NAMES, hookspec
from relay_core.testing import Harness
from sample_plugins import plugin, ready, third_party
from values import message, session

HERE = metadata.version(DISTRIBUTION)
RULING = "relay_core.Judgement is deprecated since 0.2 and goes in 0.4: use relay_core.Verdict"


@pytest.fixture
def judgement(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that Verdict had before."""
    departing = Departing(
        "relay_core.plans", "Verdict", instead="relay_core.Verdict", since="0.2", gone_in="0.4"
    )
    monkeypatch.setitem(deprecations.DEPARTING, "Judgement", departing)
    return "Judgement"


def old_plugin(name: str) -> Candidate:
    """A plugin whose module takes a name from relay_core while it is imported."""

    def load() -> ModuleType:
        module = ModuleType("old")
        source = (
            f"from relay_core import {name}, hookimpl\n"
            "@hookimpl\n"
            "def on_message(message):\n"
            f"    return {name}.skip('old')\n"
        )
        exec(compile(source, "old.py", "exec"), vars(module))  # noqa: S102 - this test's own
        return module

    return Candidate("old", "old-dist", "1.0", load)


# --- public names ----------------------------------------------------------------------------


def test_a_name_that_goes_is_still_there_and_warns_whoever_takes_it(judgement: str):
    with pytest.warns(RelayDeprecated) as told:
        found = getattr(relay_core, judgement)

    assert found is Verdict
    assert str(told[0].message) == RULING
    assert told[0].filename == __file__


def test_importing_a_name_that_goes_warns_where_it_is_imported(judgement: str):
    with pytest.warns(RelayDeprecated) as told:
        from relay_core import Judgement

    assert Judgement is Verdict
    assert told[0].filename == __file__


def test_a_name_that_was_never_there_is_missed_as_in_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'Verdikt'"):
        relay_core.Verdikt  # noqa: B018 - asking for it is the point
    with pytest.raises(ImportError):
        importlib.import_module("relay_core.verdikt")


def test_no_name_that_goes_is_listed_with_those_that_stay():
    assert set(deprecations.DEPARTING) & set(relay_core.__all__) == set()


def test_a_plugin_that_takes_a_name_that_goes_is_loaded_with_a_note(judgement: str):
    (report,) = discover([old_plugin(judgement)]).reports

    assert (report.state, report.reason) == (PluginState.LOADED, None)
    assert report.notes == (f"{RULING} (old.py:1)",)


# --- hooks and their arguments ---------------------------------------------------------------


def deprecate(monkeypatch: pytest.MonkeyPatch, hook: str, **options: object) -> None:
    """Let the spec of a hook warn, as `@hookspec(**options)` would have it."""
    marks = getattr(getattr(hookspecs, hook), f"{hookspecs.PROJECT}_spec")
    for name, value in options.items():
        monkeypatch.setitem(marks, name, value)


def on_claim(message, session): ...


def test_a_plugin_with_a_hook_that_goes_is_loaded_with_a_note(monkeypatch):
    deprecate(monkeypatch, "on_claim", warn_on_impl=RelayDeprecated("on_claim goes in 0.4"))

    (report,) = discover([third_party("old", on_claim)]).reports

    assert (report.state, report.hooks) == (PluginState.LOADED, ("on_claim",))
    line = on_claim.__code__.co_firstlineno
    assert report.notes == (f"on_claim goes in 0.4 (test_deprecations.py:{line})",)


def test_only_a_plugin_that_asks_for_an_argument_that_goes_is_noted(monkeypatch):
    going = {"session": RelayDeprecated("on_claim: session goes in 0.4, take seat")}
    deprecate(monkeypatch, "on_claim", warn_on_impl_args=going)

    def modest():
        def on_claim(message): ...

        return on_claim

    reports = discover([third_party("a", on_claim), third_party("b", modest())]).reports

    assert [bool(report.notes) for report in reports] == [True, False]
    assert "take seat" in reports[0].notes[0]


async def test_a_warning_that_was_made_an_error_keeps_no_plugin_out(monkeypatch, judgement: str):
    deprecate(monkeypatch, "on_message", warn_on_impl=RelayDeprecated("on_message goes in 0.4"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plugins = discover([old_plugin(judgement)], strict=True)
        asking = Hooks(plugins.manager, reports=plugins.reports)
    verdict, _ = await asking.on_message(message(), session())

    assert verdict == Verdict.skip("old")
    assert len(asking.reports()[0].notes) == 2


def test_an_author_who_registers_a_plugin_in_a_test_is_warned_where_the_hook_stands(monkeypatch):
    deprecate(monkeypatch, "on_claim", warn_on_impl=RelayDeprecated("on_claim goes in 0.4"))

    with pytest.warns(RelayDeprecated) as told:
        new_manager().register(plugin(hookimpl(on_claim)), "mine")

    assert told[0].filename == __file__


def test_the_harness_warns_an_author_of_what_a_plugin_uses(relay: Harness, monkeypatch):
    deprecate(monkeypatch, "on_claim", warn_on_impl=RelayDeprecated("on_claim goes in 0.4"))
    relay.load(plugin(hookimpl(on_claim)), "mine")

    with pytest.warns(RelayDeprecated, match=r"plugin mine: on_claim goes in 0\.4 \(test_depr"):
        relay.open()


def test_other_warnings_of_a_plugin_go_where_they_go():
    def load() -> ModuleType:
        warnings.warn("numbers are hard", UserWarning, stacklevel=1)
        return plugin(hookimpl(on_claim))

    with pytest.warns(UserWarning, match="numbers are hard"):
        (report,) = discover([Candidate("loud", "loud-dist", "1", load)]).reports

    assert report.notes == ()


def test_what_is_heard_does_not_stay_silent_afterwards():
    with heard() as notes:
        warnings.warn("gone", RelayDeprecated, stacklevel=1)

    assert len(notes) == 1
    with pytest.warns(RelayDeprecated):
        warnings.warn("gone", RelayDeprecated, stacklevel=1)


# --- hooks that grow -------------------------------------------------------------------------


def test_a_plugin_for_fewer_arguments_goes_on_working_when_a_hook_grows(monkeypatch):
    @hookspec
    def on_message(message, session, weather): ...

    monkeypatch.setattr(hookspecs, "on_message", on_message)

    def older():
        def on_message(message, session):
            return Verdict.skip(f"old {message.id}")

        return on_message

    def newer():
        def on_message(weather, message):
            return Verdict.skip(f"{weather} {message.id}")

        return on_message

    plugins = discover([third_party("a", older()), third_party("b", newer())], strict=True)
    asked = plugins.manager.hook.on_message(message=message(7), session=session(), weather="rain")

    assert [each.reason for each in asked] == ["old 7", "rain 7"]


@pytest.mark.parametrize("hook", HOOK_NAMES)
def test_every_hook_may_be_written_with_any_of_its_arguments_or_none(hook: str):
    spec = getattr(hookspecs, hook)
    arguments = spec.__code__.co_varnames[: spec.__code__.co_argcount]

    for taken in ((), *((each,) for each in arguments), arguments[::-1]):
        module = ModuleType("modest")
        exec(f"def {hook}({', '.join(taken)}): ...", vars(module))  # noqa: S102 - a made-up hook
        hookimpl(getattr(module, hook))
        assert check(module, "modest") == (hook,)


def requiring(*requirements: str, hook: object = None) -> Candidate:
    def on_message(message, weather): ...

    module = plugin(hookimpl(hook or on_message))
    return Candidate("young", "young-dist", "1.0", lambda: module, lambda: requirements)


@pytest.mark.parametrize("written", ["agent-relay-codex>=7.2", "Agent_Relay.Codex (>=7.2,<9)"])
def test_a_plugin_for_a_newer_relay_is_refused_with_the_release_that_it_requires(written: str):
    (report,) = discover([requiring("click", written)]).reports

    assert report.state is PluginState.FAILED
    assert report.reason == (
        "on_message has no argument weather "
        f"(it requires agent-relay-codex>=7.2, this is {HERE}: upgrade the relay)"
    )


def test_a_plugin_with_a_hook_of_a_newer_relay_is_refused_with_the_release_that_it_requires():
    def on_weather(session): ...

    (report,) = discover([requiring("agent-relay-codex>=7", hook=on_weather)]).reports

    assert report.reason is not None
    assert "there is no hook on_weather (it requires agent-relay-codex>=7" in report.reason


@pytest.mark.parametrize("written", ["agent-relay-codex>=0.1", "agent-relay-codex", "other>=7"])
def test_a_plugin_for_this_relay_is_told_what_a_hook_has(written: str):
    (report,) = discover([requiring(written)]).reports

    assert report.reason == (
        "on_message has no argument weather (there are message, session; if it is for a newer"
        f" relay than {HERE}, its package requires agent-relay-codex>=X)"
    )


def test_a_misspelt_argument_is_pointed_out():
    def on_message(mesage): ...

    (report,) = discover([requiring(hook=on_message)]).reports

    assert report.reason == "on_message has no argument mesage (did you mean message?)"


def test_what_a_distribution_requires_is_read_from_its_metadata(tmp_path, monkeypatch):
    described = tmp_path / "young-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: young\nVersion: 1.0\n"
        "Requires-Dist: click>=9\nRequires-Dist: agent-relay-codex>=7.2\n"
    )
    (described / "entry_points.txt").write_text("[agent_relay]\nyoung = young_plugin\n")
    (tmp_path / "young_plugin.py").write_text(
        "from relay_core import hookimpl\n@hookimpl\ndef on_message(weather): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from relay_core.discovery import installed

    (young,) = [each for each in installed() if each.name == "young"]
    (report,) = discover([young]).reports
    sys.modules.pop("young_plugin", None)

    assert report.reason is not None
    assert "it requires agent-relay-codex>=7.2" in report.reason


def test_a_plugin_without_metadata_is_told_all_the_same():
    module = plugin(hookimpl(on_claim))
    assert discover([ready("fine", module)]).reports[0].state is PluginState.LOADED
