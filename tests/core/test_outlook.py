"""What a host knows of a session, event by event."""

import pytest

from relay_core.messages import TurnStatus
from relay_core.outlook import Outlook, after, after_start, first_look
from relay_core.ports import SessionChanged, SessionClosed, SessionSeen, SessionTurnEnded
from relay_core.sessions import Activity, Provenance, Turn

OURS = Turn(id="1", provenance=Provenance.OURS)
USERS = Turn(id="2", provenance=Provenance.USERS)


def seen(activity: Activity = Activity.AT_REST) -> SessionSeen:
    return SessionSeen(key="k", thread_id="t", cwd="/w", provider="p", activity=activity)


def changed(activity: Activity, turn: Turn | None = None, *, sign: bool = False) -> SessionChanged:
    return SessionChanged(key="k", activity=activity, turn=turn, sign_of_user=sign)


def ended(status: TurnStatus, *, by_us: bool | None, turn: Turn = OURS) -> SessionTurnEnded:
    return SessionTurnEnded(
        key="k",
        turn_id=turn.id,
        status=status,
        provenance=turn.provenance,
        interrupted_by_us=by_us,
    )


RESTING = first_look(seen(), 1_000)


def test_a_session_first_seen_away_has_been_away_since_then():
    assert first_look(seen(Activity.AWAY), 1_000).away_since_ms == 1_000


def test_away_counts_from_the_first_moment_not_the_last():
    away = after(RESTING, changed(Activity.AWAY), 2_000)

    assert after(away, changed(Activity.AWAY), 3_000).away_since_ms == 2_000


def test_a_session_that_is_back_is_no_longer_away():
    away = after(RESTING, changed(Activity.AWAY), 2_000)

    assert after(away, changed(Activity.AT_REST), 3_000).away_since_ms is None


def test_a_turn_of_the_users_is_a_sign_of_the_user():
    busy = after_start(after_start(RESTING))

    now = after(busy, changed(Activity.IN_TURN, USERS), 5_000)

    assert (now.relay_turns, now.last_user_turn_ms) == (0, 5_000)


def test_the_same_turn_reported_again_is_no_new_sign():
    once = after(RESTING, changed(Activity.IN_TURN, USERS), 5_000)

    assert after(once, changed(Activity.IN_TURN, USERS), 6_000).last_user_turn_ms == 5_000


def test_a_turn_of_ours_is_no_sign_of_the_user():
    busy = after_start(RESTING)

    assert after(busy, changed(Activity.IN_TURN, OURS), 5_000).relay_turns == 1


def test_a_thread_started_by_the_user_is_a_sign_of_the_user():
    busy = after_start(RESTING)

    assert after(busy, changed(Activity.AT_REST, sign=True), 5_000).relay_turns == 0


def test_the_users_interrupt_is_noted():
    now = after(RESTING, ended(TurnStatus.INTERRUPTED, by_us=False), 7_000)

    assert now.user_interrupted_ms == 7_000


@pytest.mark.parametrize("who", ["us", "nobody knows"])
def test_an_interrupt_that_was_ours_or_that_nobody_saw_asks_for_no_quiet(who: str):
    by_us = True if who == "us" else None

    now = after(RESTING, ended(TurnStatus.INTERRUPTED, by_us=by_us), 7_000)

    assert now.user_interrupted_ms is None


def test_the_users_next_turn_ends_the_quiet():
    quiet = after(RESTING, ended(TurnStatus.INTERRUPTED, by_us=False), 7_000)

    assert after(quiet, changed(Activity.IN_TURN, USERS), 8_000).user_interrupted_ms is None


def test_a_turn_of_the_users_that_is_known_only_at_its_end_ends_the_quiet_too():
    quiet = after(RESTING, ended(TurnStatus.INTERRUPTED, by_us=False), 7_000)

    now = after(quiet, ended(TurnStatus.COMPLETED, by_us=None, turn=USERS), 8_000)

    assert now.user_interrupted_ms is None


def test_the_end_of_a_turn_of_ours_ends_no_quiet():
    quiet = after(RESTING, ended(TurnStatus.INTERRUPTED, by_us=False), 7_000)

    assert after(quiet, ended(TurnStatus.COMPLETED, by_us=None), 8_000) == quiet


def test_a_turn_that_joined_the_users_words_is_a_sign_of_the_user():
    turn = SessionTurnEnded(
        key="k",
        turn_id="1",
        status=TurnStatus.COMPLETED,
        provenance=Provenance.OURS,
        other_user_messages=True,
    )

    assert after(after_start(RESTING), turn, 9_000).relay_turns == 0


def test_a_closed_session_is_away():
    assert after(RESTING, SessionClosed(key="k"), 9_000) == Outlook(
        activity=Activity.AWAY, away_since_ms=9_000
    )
