"""What the hub says of deliveries that are not tried again by themselves."""

from __future__ import annotations

import msgspec

from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    Delivery,
    DeliveryState,
    Message,
    Struct,
    TurnStatus,
)


class DeadLetter(Struct):
    """A dead delivery and what it was to bring; `excerpt` is how the message's body begins.

    Dead letters that were retried (`delivery.retriedAs`) or dropped are in no list.
    """

    delivery: Delivery
    from_: AgentId = msgspec.field(name="from")
    to: str
    excerpt: str
    subject: str | None = None
    dropped_ms: int | None = None


class DeadList(Struct):
    """GET /api/dead: newest first."""

    dead: tuple[DeadLetter, ...]


class AttemptView(Attempt):
    """An attempt and what became of it; `outcome` is None while it is in doubt."""

    outcome: str | None = None
    resolved_ms: int | None = None
    turn_id: str | None = None
    turn_status: TurnStatus | None = None


class Transition(Struct):
    """One step of a delivery, and the event that caused it."""

    at_ms: int
    event: str
    before: DeliveryState
    after: DeliveryState
    reason: str | None = None
    attempt_id: AttemptId | None = None


class DeadView(Struct):
    """GET /api/dead/{deliveryId}: all that is known of one dead letter, oldest first."""

    delivery: Delivery
    message: Message
    dropped_ms: int | None = None
    attempts: tuple[AttemptView, ...] = ()
    transitions: tuple[Transition, ...] = ()
