"""The conformance kit passes adapters that keep the port's promises, and finds out those that do
not, at the check that says what is wrong with them."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import wrong_adapters as wrong
from relay_core import Adapter
from relay_core.testing import MemoryAgent, SeededRandom, VirtualClock, virtual_runner
from relay_core.testing.adapter_kit import (
    AdapterReport,
    Capability,
    CheckResult,
    Verdict,
    check_adapter,
    check_names,
    markdown,
    matrix_text,
)
from relay_core.testing.memory_driver import MemoryAdapter, MemoryDriver
from relay_plugins.echo.testing import EchoDriver


def virtually(work: Callable[[], Any]) -> Any:
    """Run the kit in a loop on which time jumps."""
    with virtual_runner() as runner:
        return runner.run(work())


@cache
def measured(adapter: Callable[[MemoryAgent], Adapter], *only: str) -> AdapterReport:
    """What the kit says of an adapter to the agent in memory; the same each time."""

    async def work() -> AdapterReport:
        driver = MemoryDriver(VirtualClock(), SeededRandom("agent"), adapter)
        try:
            return await check_adapter(driver, random=SeededRandom("kit"), only=only or None)
        finally:
            await driver.memory.close()

    return virtually(work)


def not_measured(report: AdapterReport) -> dict[str, str]:
    return {
        each.name: each.detail for each in report.checks if each.verdict is Verdict.NOT_MEASURED
    }


def test_the_agent_in_memory_keeps_every_promise():
    report = measured(MemoryAdapter)

    assert report.failed == ()
    assert tuple(each.name for each in report.checks) == check_names()
    assert set(not_measured(report)) == {"visible", "never_proved"}
    assert {each.name: each.measured for each in report.matrix} == {
        "wake": "yes",
        "steer": "live",
        "interrupt": "yes",
        "prove": "by_id",
        "reply": "linked",
        "visible": "not measured",
    }


def test_echo_agents_keep_every_promise_that_can_be_measured():
    report = virtually(
        lambda: check_adapter(EchoDriver(VirtualClock()), random=SeededRandom("kit"))
    )

    assert report.failed == ()
    assert not_measured(report)["the_agent_dies_in_the_turn"] == (
        "an echo agent lives and ends with its host"
    )
    assert {each.name: (each.claimed, each.measured) for each in report.matrix} == {
        "wake": ("yes", "yes"),
        "steer": ("live", "live"),
        "interrupt": ("yes", "yes"),
        "prove": ("by_id", "by_id"),
        "reply": ("linked", "linked"),
        "visible": ("no", "-"),
    }


WRONG: dict[type[MemoryAdapter], set[str]] = {
    wrong.AcksTooEarly: {
        "found_is_said_only_of_what_the_history_shows",
        "what_waits_for_a_tool_is_neither_found_nor_absent",
        "what_an_interrupt_swallows_is_not_found",
        "the_agent_dies_right_after_the_hand_over",
        "the_agent_dies_in_the_turn",
        "agent_and_host_die_right_after_the_hand_over",
    },
    wrong.AnswersApprovals: {"approvals_are_left_to_the_user"},
    wrong.ForgetsItsForerunner: {
        "a_new_adapter_finds_what_its_forerunner_brought",
        "the_host_dies_right_after_the_hand_over",
        "the_host_dies_with_the_evidence_in_its_hand",
    },
    wrong.ClaimsProofItHasNot: {"prove"},
    wrong.RepeatsAfterACrash: {
        "an_agent_that_died_is_away_until_it_is_back",
        "the_agent_dies_before_the_hand_over",
        "the_agent_dies_while_it_is_looked_for",
        "the_agent_dies_in_the_turn",
    },
    wrong.GivesUpTooEarly: {"what_waits_for_a_tool_is_neither_found_nor_absent"},
    wrong.ClaimsToSteerLive: {"steer"},
    wrong.JoinsAnyTurn: {"a_steer_at_a_turn_that_is_over_is_session_moved"},
    wrong.TakesTheUsersWords: {"the_words_of_a_shared_turn_are_the_users"},
    wrong.TakesEveryInterruptForOurs: {
        "a_turn_that_the_user_stops_is_not_said_to_be_stopped_by_us"
    },
    wrong.EndsTurnsWhenItEnds: {
        "approvals_are_left_to_the_user",
        "closing_leaves_the_session_alone",
    },
    wrong.DeafToADeadAgent: {"an_agent_that_died_is_away_until_it_is_back"},
}
"""Each wrong adapter, and the checks that it fails; it passes all others."""


@pytest.mark.parametrize("adapter", WRONG, ids=lambda each: each.__name__)
def test_an_adapter_that_is_wrong_in_one_way_fails_where_that_is_checked(
    adapter: type[MemoryAdapter],
):
    assert set(measured(adapter).failed) == WRONG[adapter]


def test_a_claim_that_is_not_kept_is_said_with_what_was_measured():
    report = measured(wrong.ClaimsToSteerLive)

    (result,) = [each for each in report.checks if each.name == "steer"]
    assert result.detail.startswith("claimed is live, measured was none")
    (row,) = [each for each in report.matrix if each.name == "steer"]
    assert (row.claimed, row.measured, row.kept) == ("live", "none", False)


@pytest.mark.parametrize(
    ("adapter", "name", "value"),
    [
        (wrong.ProvesByText, "prove", "by_text"),
        (wrong.SteersAtTheNextStep, "steer", "next_step"),
        (wrong.TellsAnswersInTheirOrder, "reply", "ordered"),
    ],
)
def test_what_an_honest_adapter_can_do_less_is_measured_as_it_says(
    adapter: type[MemoryAdapter], name: str, value: str
):
    report = measured(adapter)

    assert report.failed == ()
    (row,) = [each for each in report.matrix if each.name == name]
    assert (row.claimed, row.measured) == (value, value)


def test_an_adapter_that_admits_to_prove_nothing_keeps_its_word():
    report = measured(wrong.ProvesNothing)

    assert report.failed == ()
    assert "never_proved" not in not_measured(report)
    assert not_measured(report)["the_agent_dies_in_the_turn"] == (
        "without proof nobody can promise that a message is there once"
    )


def test_what_an_adapter_does_not_claim_is_not_asked_of_it():
    report = measured(wrong.DoesNotSteer)

    assert report.failed == ()
    assert {each.name: each.measured for each in report.matrix}["steer"] == "-"
    assert not_measured(report)["the_words_of_a_shared_turn_are_the_users"] == (
        "the adapter does not claim to steer"
    )


def test_an_adapter_that_raises_is_told_with_its_error():
    class Broken(MemoryAdapter):
        def describe(self, key: str) -> Any:
            raise ZeroDivisionError("no abilities")

    report = measured(Broken)

    assert {each.detail for each in report.checks if each.verdict is Verdict.FAILED} >= {
        "ZeroDivisionError: no abilities"
    }


def test_an_adapter_that_hangs_is_told_and_stops_no_other_check():
    class Hanging(MemoryAdapter):
        async def find(self, key: str, attempt: Any, *, marker: str | None = None) -> Any:
            await asyncio.Event().wait()

    hangs = "a_new_adapter_finds_what_its_forerunner_brought"
    report = measured(Hanging, hangs, "an_agent_that_died_is_away_until_it_is_back", "reply")

    told = {each.name: (each.verdict, each.detail) for each in report.checks}
    assert told[hangs] == (Verdict.FAILED, "it took longer than 120 s")
    assert told["reply"] == (Verdict.OK, "")


def test_an_adapter_whose_reports_end_with_an_error_is_told_with_it():
    class Silent(MemoryAdapter):
        async def sessions(self) -> Any:
            raise ConnectionError("no way to the agent")
            yield

    report = measured(Silent)

    assert len(report.failed) == len(report.checks)
    assert "no way to the agent" in report.checks[0].detail


def test_a_page_keeps_the_columns_whatever_an_agent_says():
    seen = CheckResult(name="wake", line="It wakes.", verdict=Verdict.FAILED, detail="a|b")
    row = Capability(name="wake", claimed="yes", measured="not measured", why="no | yes")
    report = AdapterReport(adapter="x", agent="X 1", checks=(seen,), matrix=(row,))

    assert markdown(report).splitlines() == [
        "| capability | claimed | measured | |",
        "| --- | --- | --- | --- |",
        "| wake | yes | not measured | no \\| yes |",
        "",
        "| check | result | |",
        "| --- | --- | --- |",
        "| It wakes. | failed | a\\|b |",
    ]
    assert matrix_text(report).splitlines() == [
        "capability  claimed  measured",
        "wake        yes      not measured  no | yes",
    ]


def test_the_kit_needs_nothing_that_only_tests_have():
    code = (
        "import sys, relay_core.testing.adapter_kit, relay_core.testing.installed_check\n"
        "assert not {'pytest', 'looptime', 'hypothesis'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
