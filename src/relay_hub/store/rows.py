"""Rows that only the hub keeps; what travels is in `relay_core`."""

from __future__ import annotations

from relay_core.hub_api import Claim
from relay_core.messages import Attempt, Struct, TurnStatus

EXCERPT_CHARS = 200
"""How much of a body stands in a list."""


class ClaimRow(Claim):
    """The claim on one message; `claimed_ms` is when its holder took it."""

    claimed_ms: int | None = None


class AttemptRow(Attempt):
    """An attempt with what became of it; `outcome` is None while it is in doubt.

    `no_reply` says why its turn was no answer to a request that it carried; `for_others` that its
    turn was started by nothing but agents' mail.
    """

    instance_id: str | None = None
    outcome: str | None = None
    resolved_ms: int | None = None
    turn_id: str | None = None
    turn_status: TurnStatus | None = None
    no_reply: str | None = None
    for_others: bool = False


class UserSet(Struct):
    """What of an agent the user has set, so that its registrations leave it alone."""

    label: bool = False
    tags: bool = False


class AnswerRow(Struct):
    """The answer that was given to a request with an idempotency key, and what was asked."""

    asked: bytes
    answer: bytes


class Traffic(Struct):
    """How many messages there were in a window of time, and when the first of them was stored."""

    count: int
    first_ms: int | None = None
