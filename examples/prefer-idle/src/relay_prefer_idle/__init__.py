"""The strategy `prefer-idle`: a session at rest is preferred, a long tool run is left alone."""

# Rule 1: it answers only for senders and sessions whose strategy is its name, and only while a turn
#         runs: a session at rest is the next plugin's, and so is what may interrupt.
# Rule 2: a turn in its first seconds still reads, and is joined. An older one is likely in a tool
#         run: messages wait for its end, but not for ever.
# Rule 3: a request waits for a turn of its own, as its answer is what that turn ends with; and
#         nothing joins a turn that waits for the user, as it would be lost when that one cancels.

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from itertools import takewhile

import msgspec

from relay_core import (
    REQUEST,
    Activity,
    DeliveryPlan,
    Message,
    Relay,
    Session,
    Steering,
    hookimpl,
    is_from,
)

NAME = "prefer-idle"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.prefer-idle]` of config.toml: how old a turn may be that is joined, and how long a
    message waits for the end of one."""

    young_s: float = 5.0
    at_most_min: float = 30.0


class PreferIdle:
    """The plugin."""

    def __init__(self) -> None:
        self._table = Table()

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Read the table."""
        self._table = msgspec.json.decode(relay.table, type=Table)
        yield

    @hookimpl
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        """Join a young turn, wait for the end of an old one; see the rules."""
        if not _is_ours(messages[0], session) or any(
            _interrupts(each, session) for each in messages
        ):
            return None
        if session.activity is Activity.WAITING_FOR_USER:
            return DeliveryPlan.wait("prefer-idle: the turn waits for the user")
        if session.activity is not Activity.IN_TURN:
            return None
        if messages[0].type == REQUEST or not _may_join(messages[0], session):
            return DeliveryPlan.wait("prefer-idle: it waits for the end of the turn")
        age_ms = _age_ms(session)
        if age_ms is not None and age_ms < self._table.young_s * 1000:
            return self._join(messages, session, "the turn has just begun")
        until_ms = messages[0].created_at + int(self._table.at_most_min * 60_000)
        if session.now >= until_ms:
            return self._join(messages, session, "it has waited long enough")
        return DeliveryPlan.wait("prefer-idle: a long turn is left alone", until_ms=until_ms)

    def _join(self, messages: Sequence[Message], session: Session, why: str) -> DeliveryPlan:
        together = takewhile(
            lambda each: _is_ours(each, session) and _may_join(each, session), messages
        )
        return DeliveryPlan.steer(take=sum(1 for _ in together), reason=f"prefer-idle: {why}")


def _is_ours(message: Message, session: Session) -> bool:
    policy = session.policy
    return policy.sender_strategies.get(message.from_, policy.strategy) == NAME


def _interrupts(message: Message, session: Session) -> bool:
    can = session.abilities.interrupt and session.activity is not Activity.AT_REST
    return can and message.urgent and is_from(message, session.policy.urgent_from)


def _may_join(message: Message, session: Session) -> bool:
    can = session.abilities.steer is not Steering.NONE and session.turn is not None
    return can and is_from(message, session.policy.steer_from)


def _age_ms(session: Session) -> int | None:
    """How long the turn has been running; None where nobody knows."""
    since_ms = session.turn.since_ms if session.turn else None
    return None if since_ms is None else session.now - since_ms


plugin = PreferIdle()
