"""Every reason to wait is one row of one table."""

import msgspec
import pytest

from relay_core import Activity, DeliveryPlan
from relay_core.waiting import REASONS, Situation, WaitReason, why_wait
from values import NOW_MS

FREE = Situation(now_ms=NOW_MS, activity=Activity.AT_REST)

# Each reason's situation, in the order of the table.
SITUATIONS: dict[WaitReason, dict[str, object]] = {
    WaitReason.AWAY: {"activity": Activity.AWAY},
    WaitReason.IN_DOUBT: {"in_doubt": True},
    WaitReason.USER_INTERRUPTED: {"user_interrupted_ms": NOW_MS - 59_999},
    WaitReason.UNATTENDED: {"attended": False, "relay_turns": 25},
    WaitReason.TURNS_SPENT: {"turns_from_ms": NOW_MS + 7},
    WaitReason.RETRY: {"retry_at_ms": NOW_MS + 5},
    WaitReason.QUIET: {"plan": DeliveryPlan.wait("quiet", until_ms=NOW_MS + 9)},
    WaitReason.BUSY: {"plan": DeliveryPlan.wait("patient")},
}


def situation(*reasons: WaitReason) -> Situation:
    changes = {key: value for reason in reasons for key, value in SITUATIONS[reason].items()}
    return msgspec.structs.replace(FREE, **changes)


def test_the_situations_of_this_test_name_every_reason():
    assert set(SITUATIONS) == set(WaitReason)
    # `_chosen` answers two of them.
    assert len(REASONS) == len(WaitReason) - 1


def test_a_session_that_is_free_waits_for_nothing():
    assert why_wait(FREE) is None


@pytest.mark.parametrize("reason", WaitReason)
def test_each_reason_is_given_by_its_name(reason: WaitReason):
    wait = why_wait(situation(reason))

    assert wait is not None
    assert wait.reason is reason


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (first, second)
        for at, first in enumerate(SITUATIONS)
        for second in list(SITUATIONS)[at + 1 :]
        if {first, second} != {WaitReason.QUIET, WaitReason.BUSY}
    ],
)
def test_of_two_reasons_the_one_that_stands_first_is_shown(first: WaitReason, second: WaitReason):
    wait = why_wait(situation(second, first))

    assert wait is not None
    assert wait.reason is first


def test_quiet_after_an_interrupt_ends_by_itself_after_a_minute():
    interrupted = msgspec.structs.replace(FREE, user_interrupted_ms=NOW_MS - 60_000)
    just_before = msgspec.structs.replace(interrupted, now_ms=NOW_MS - 1)

    assert why_wait(interrupted) is None
    waiting = why_wait(just_before)
    assert waiting is not None
    assert waiting.until_ms == NOW_MS


def test_the_budget_binds_only_where_nobody_may_be_there():
    spent = msgspec.structs.replace(FREE, relay_turns=1_000)

    assert why_wait(spent) is None
    assert why_wait(msgspec.structs.replace(spent, attended=False)) is not None
    assert why_wait(msgspec.structs.replace(FREE, relay_turns=24, attended=False)) is None


def test_a_plugin_s_own_words_are_kept_beside_the_reason():
    wait = why_wait(situation(WaitReason.BUSY))

    assert wait is not None
    assert wait.detail == "patient"
