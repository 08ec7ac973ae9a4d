"""What one host knows of one session, kept up to date from what its adapter reports."""

# Rule: pure. An event and the time come in, the new outlook goes out.

from __future__ import annotations

import msgspec

from relay_core.messages import Struct, TurnStatus
from relay_core.ports import (
    SessionChanged,
    SessionClosed,
    SessionEvent,
    SessionSeen,
    SessionTurnEnded,
)
from relay_core.sessions import Activity, Provenance, Turn


class Outlook(Struct):
    """The facts that the reasons to wait look at; times in milliseconds since the Unix epoch.

    `user_interrupted_ms` is forgotten when a turn of the user's begins. `relay_turns` counts the
    turns that we started since the last sign of the user. `away_since_ms` is set while nobody can
    reach the session.
    """

    activity: Activity
    turn: Turn | None = None
    user_interrupted_ms: int | None = None
    relay_turns: int = 0
    last_user_turn_ms: int | None = None
    away_since_ms: int | None = None


def first_look(seen: SessionSeen, now_ms: int) -> Outlook:
    """Begin with what the adapter saw first."""
    away = now_ms if seen.activity is Activity.AWAY else None
    return Outlook(activity=seen.activity, turn=_since(seen.turn, None, now_ms), away_since_ms=away)


def after(outlook: Outlook, event: SessionEvent, now_ms: int) -> Outlook:
    """Take in one event of the session's adapter."""
    match event:
        case SessionSeen():
            return _moved(outlook, event.activity, event.turn, now_ms)
        case SessionChanged():
            moved = _moved(outlook, event.activity, event.turn, now_ms)
            return _user_was_here(moved, now_ms) if event.sign_of_user else moved
        case SessionTurnEnded():
            return _turn_ended(outlook, event, now_ms)
        case SessionClosed():
            return _moved(outlook, Activity.AWAY, None, now_ms)


def after_start(outlook: Outlook) -> Outlook:
    """Count a turn that we started."""
    return msgspec.structs.replace(outlook, relay_turns=outlook.relay_turns + 1)


def _moved(outlook: Outlook, activity: Activity, turn: Turn | None, now_ms: int) -> Outlook:
    away = outlook.away_since_ms or now_ms if activity is Activity.AWAY else None
    now = _since(turn, outlook.turn, now_ms)
    moved = msgspec.structs.replace(outlook, activity=activity, turn=now, away_since_ms=away)
    if now is not None and now != outlook.turn and now.provenance is Provenance.USERS:
        return _user_was_here(moved, now_ms)
    return moved


def _since(turn: Turn | None, former: Turn | None, now_ms: int) -> Turn | None:
    """Keep when a turn was first seen."""
    if turn is None:
        return None
    same = former if former is not None and former.id == turn.id else None
    return msgspec.structs.replace(turn, since_ms=same.since_ms if same else now_ms)


def _user_was_here(outlook: Outlook, now_ms: int) -> Outlook:
    return msgspec.structs.replace(
        outlook, user_interrupted_ms=None, relay_turns=0, last_user_turn_ms=now_ms
    )


def _turn_ended(outlook: Outlook, event: SessionTurnEnded, now_ms: int) -> Outlook:
    if event.status is TurnStatus.INTERRUPTED and event.interrupted_by_us is False:
        # Whoever pressed the key is there, and wants quiet.
        here = _user_was_here(outlook, now_ms) if _of_the_users(event) else outlook
        return msgspec.structs.replace(here, user_interrupted_ms=now_ms, relay_turns=0)
    # A short turn may be over before anybody could tell whose it was.
    return _user_was_here(outlook, now_ms) if _of_the_users(event) else outlook


def _of_the_users(event: SessionTurnEnded) -> bool:
    return event.provenance is Provenance.USERS or event.other_user_messages
