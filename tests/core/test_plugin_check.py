"""A plugin is checked by asking its hooks, without a relay."""

import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from relay_core import DeliveryPlan, Verdict, hookimpl
from relay_core.discovery import Candidate, installed
from relay_core.testing.adapter_report import CheckResult
from relay_core.testing.adapter_report import Verdict as Result
from relay_core.testing.plugin_check import PluginCheck, check_plugin
from sample_plugins import ready, third_party


@pytest.fixture
def checked(tmp_path: Path):
    async def check(candidate: Candidate) -> PluginCheck:
        found = await check_plugin(
            candidate.name, [*installed(), candidate], folder=tmp_path, environ={}
        )
        assert found is not None
        return found

    return check


def the(report: PluginCheck, name: str) -> CheckResult:
    (found,) = [each for each in report.checks if each.name == name]
    return found


async def test_a_plugin_that_answers_as_it_should_passes(checked: Any):
    def on_message(message, session):
        return Verdict.hold("night", session.now + 1) if message.urgent else None

    report = await checked(third_party("night", on_message))

    assert report.ok
    assert (report.plugin, report.distribution) == ("night", "night-dist")
    assert [each.name for each in report.checks] == ["loads", "on_message"]
    assert the(report, "on_message").detail.endswith("µs for a decision")


async def test_a_hook_that_is_misspelt_is_told_with_what_was_meant(checked: Any):
    def on_mesage(message): ...

    report = await checked(third_party("typo", on_mesage))

    assert report.failed == ("loads",)
    assert "on_message" in the(report, "loads").detail


async def test_an_answer_of_the_wrong_kind_is_told(checked: Any):
    def choose_delivery(messages, session):
        return "start"

    report = await checked(third_party("words", choose_delivery))

    assert report.failed == ("choose_delivery",)
    assert "DeliveryPlan" in the(report, "choose_delivery").detail


async def test_a_plan_that_takes_more_than_there_is_is_told(checked: Any):
    def choose_delivery(messages, session):
        return DeliveryPlan.start(take=2)

    assert (await checked(third_party("greedy", choose_delivery))).failed == ("choose_delivery",)


async def test_an_answer_that_changes_is_told_with_both(checked: Any):
    numbers = count()

    def on_message(message, session):
        return Verdict.skip(f"odd{next(numbers) % 2}")

    report = await checked(third_party("fickle", on_message))

    assert report.failed == ("on_message",)
    assert "not the same answer twice" in the(report, "on_message").detail
    assert "odd0" in the(report, "on_message").detail


async def test_what_a_hook_raises_is_told(checked: Any):
    def on_claim(message, session):
        raise LookupError("no such column")

    report = await checked(third_party("broken", on_claim))

    assert the(report, "on_claim").detail == "LookupError: no such column"


async def test_a_wrapper_is_asked_around_the_built_in_answer(checked: Any):
    class Shouts:
        @hookimpl(wrapper=True)
        def format_context(self, session):
            return f"{(yield)}!"

    assert (await checked(ready("shouts", Shouts()))).ok


async def test_a_hook_that_hangs_is_told(checked: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("relay_core.hooks.DECISION_LIMIT_S", 0.01)

    def on_message(message, session):
        time.sleep(0.5)

    report = await checked(third_party("slow", on_message))

    assert the(report, "on_message").detail == "it took too long"


async def test_an_observer_that_raises_is_told(checked: Any):
    def on_event(event, session):
        raise KeyError(event.at_ms)

    assert (await checked(third_party("watcher", on_event))).failed == ("on_event",)


async def test_what_a_plugin_does_when_it_starts_is_not_played(checked: Any):
    def start(relay):
        raise AssertionError("nobody may call this here")

    report = await checked(third_party("starter", start))

    assert the(report, "start").verdict is Result.NOT_MEASURED
    assert report.ok


async def test_adapters_that_it_brings_are_named(tmp_path: Path):
    report = await check_plugin("relay.echo", installed(), folder=tmp_path, environ={})

    assert report is not None
    assert report.adapters == ("echo",)
    assert the(report, "register_adapters").detail == "adapter echo, operation echo.start"


async def test_a_plugin_that_cannot_contribute_is_told_with_its_error(checked: Any):
    def register_adapters(register):
        raise OSError("no room")

    report = await checked(third_party("adapting", register_adapters))

    assert the(report, "register_adapters").detail == "OSError: no room"


async def test_there_is_no_report_on_what_is_not_installed(tmp_path: Path):
    assert await check_plugin("nobody", installed(), folder=tmp_path, environ={}) is None


@pytest.mark.parametrize("name", [each.name for each in installed()])
async def test_every_built_in_plugin_passes(name: str, tmp_path: Path):
    report = await check_plugin(name, installed(), folder=tmp_path, environ={"HOME": str(tmp_path)})

    assert report is not None
    assert report.failed == ()
