"""Why a session is given nothing right now: one table, asked from the top."""

# Rule 1: every reason to wait is a row of REASONS; nothing else in the sidecar keeps timers of its
#         own.
# Rule 2: pure. Time arrives in the situation.

from __future__ import annotations

import enum
from collections.abc import Callable

from relay_core.messages import Struct
from relay_core.plans import DeliveryPlan, Mode
from relay_core.sessions import Activity

SECOND = 1_000


class WaitReason(enum.StrEnum):
    """Why mail stays at the hub for now."""

    AWAY = "away"
    IN_DOUBT = "in_doubt"
    USER_INTERRUPTED = "user_interrupted"
    UNATTENDED = "unattended"
    TURNS_SPENT = "turns_spent"
    RETRY = "retry"
    QUIET = "quiet"
    BUSY = "busy"


class Wait(Struct):
    """A reason, and when it ends by itself (None: only an event ends it)."""

    reason: WaitReason
    until_ms: int | None = None
    detail: str | None = None


class Situation(Struct):
    """All that the reasons look at.

    `user_interrupted_ms` is when the user last stopped a turn (None once a turn of the user's began
    since). `relay_turns` counts turns that the relay started with no sign of the user in between.
    `turns_from_ms` is set when all that is left to send is from agents, and the turns for these are
    spent until then. `retry_at_ms` is set when nothing but a retry is left to send. `plan` is what
    the plugins chose, None before they were asked.
    """

    now_ms: int
    activity: Activity
    in_doubt: bool = False
    user_interrupted_ms: int | None = None
    quiet_after_interrupt_ms: int = 60 * SECOND
    attended: bool = True
    relay_turns: int = 0
    unattended_budget: int = 25
    turns_from_ms: int | None = None
    retry_at_ms: int | None = None
    plan: DeliveryPlan | None = None


def _away(s: Situation) -> Wait | None:
    return Wait(reason=WaitReason.AWAY) if s.activity is Activity.AWAY else None


def _in_doubt(s: Situation) -> Wait | None:
    return Wait(reason=WaitReason.IN_DOUBT) if s.in_doubt else None


def _user_interrupted(s: Situation) -> Wait | None:
    if s.user_interrupted_ms is None:
        return None
    until = s.user_interrupted_ms + s.quiet_after_interrupt_ms
    if s.now_ms >= until:
        return None
    return Wait(reason=WaitReason.USER_INTERRUPTED, until_ms=until)


def _unattended(s: Situation) -> Wait | None:
    if s.attended or s.relay_turns < s.unattended_budget:
        return None
    return Wait(reason=WaitReason.UNATTENDED)


def _turns_spent(s: Situation) -> Wait | None:
    if s.turns_from_ms is None:
        return None
    return Wait(reason=WaitReason.TURNS_SPENT, until_ms=s.turns_from_ms)


def _retry(s: Situation) -> Wait | None:
    if s.retry_at_ms is None:
        return None
    return Wait(reason=WaitReason.RETRY, until_ms=s.retry_at_ms)


def _chosen(s: Situation) -> Wait | None:
    if s.plan is None or s.plan.mode is not Mode.WAIT:
        return None
    reason = WaitReason.QUIET if s.plan.reason == WaitReason.QUIET else WaitReason.BUSY
    return Wait(reason=reason, until_ms=s.plan.until_ms, detail=s.plan.reason)


REASONS: tuple[Callable[[Situation], Wait | None], ...] = (
    _away,
    _in_doubt,
    _user_interrupted,
    _unattended,
    _turns_spent,
    _retry,
    _chosen,
)
"""Asked in this order; the first answer is the one that is shown."""


def why_wait(situation: Situation) -> Wait | None:
    """Say why nothing may be injected now, or None when something may."""
    for reason in REASONS:
        if (wait := reason(situation)) is not None:
            return wait
    return None
