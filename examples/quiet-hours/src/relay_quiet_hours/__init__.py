"""Holds what comes in at night; in the morning it is one digest."""

# Rule 1: the night runs from one hour of the plugin's own table to the other, on the clock of its
#         zone: the hold ends by that clock, also where the night has an hour more or less.
# Rule 2: what the user sends comes at once, and so does urgent mail of those who may interrupt.
#         What starts no turn wakes nobody.
# Rule 3: two or more messages of the night come as one digest with a turn of its own. A request is
#         no part of it: it wants a turn that answers it.

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from relay_core import (
    OPERATOR,
    REQUEST,
    Activity,
    DeliveryPlan,
    Message,
    Mode,
    Relay,
    Session,
    Verdict,
    hookimpl,
    is_from,
    starts_no_turn,
)

REASON = "quiet_hours"
DIGEST_FROM = 2

Hour = Annotated[int, msgspec.Meta(ge=0, le=23)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.quiet-hours]` of config.toml; without a zone, the machine's own counts."""

    from_: Hour = msgspec.field(name="from", default=22)
    to: Hour = 7
    zone: str | None = None

    def __post_init__(self) -> None:
        if self.from_ == self.to:
            raise ValueError("the night would never end: `from` and `to` are the same hour")


class Night(msgspec.Struct, frozen=True):
    """From when to when, in milliseconds since the Unix epoch."""

    began_ms: int
    ends_ms: int


class QuietHours:
    """The plugin; its nights are those of its table."""

    def __init__(self) -> None:
        self._table = Table()
        self._zone: ZoneInfo | None = None

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Read the table; a wrong one is shown by `agent-relay plugins`."""
        table = msgspec.json.decode(relay.table, type=Table)
        self._zone = ZoneInfo(table.zone) if table.zone else None
        self._table = table
        yield

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Hold until the morning what may wait."""
        night = self._last_night(session.now)
        if session.now >= night.ends_ms or _comes_at_once(message, session):
            return None
        return Verdict.hold(REASON, until_ms=night.ends_ms)

    @hookimpl(tryfirst=True)  # it nearly always leaves the decision to the others
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        """Bring what the night held as one digest, as soon as the session is at rest."""
        night = self._last_night(session.now)
        if session.now < night.ends_ms or session.activity is Activity.AWAY:
            return None
        held = takewhile(lambda each: _was_held(each, night, session), messages)
        count = sum(1 for _ in held)
        if count < DIGEST_FROM or any(_may_interrupt(each, session) for each in messages):
            return None
        if session.activity is not Activity.AT_REST:
            return DeliveryPlan.wait("quiet-hours: the digest waits for a turn of its own")
        reason = "quiet-hours: what the night held"
        return DeliveryPlan(mode=Mode.START, take=count, digest=True, reason=reason)

    def _last_night(self, now_ms: int) -> Night:
        """The night that began last; it may still run."""
        now = datetime.fromtimestamp(now_ms / 1000, self._zone)
        began = now.replace(hour=self._table.from_, minute=0, second=0, microsecond=0)
        if began > now:
            began -= timedelta(days=1)
        ends = began.replace(hour=self._table.to)
        if ends <= began:
            ends += timedelta(days=1)
        return Night(began_ms=_ms(began), ends_ms=_ms(ends))


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _may_interrupt(message: Message, session: Session) -> bool:
    return message.urgent and is_from(message, session.policy.urgent_from)


def _comes_at_once(message: Message, session: Session) -> bool:
    users = is_from(message, (OPERATOR,))
    return users or starts_no_turn(message) or _may_interrupt(message, session)


def _was_held(message: Message, night: Night, session: Session) -> bool:
    came_at_night = night.began_ms <= message.created_at < night.ends_ms
    return came_at_night and message.type != REQUEST and not _comes_at_once(message, session)


plugin = QuietHours()
