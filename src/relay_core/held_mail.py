"""What the hub says of deliveries that are held, and what a person decides about them."""

from __future__ import annotations

import msgspec

from relay_core.messages import AgentId, Delivery, Message, Struct


class HeldDelivery(Struct):
    """A delivery that is held, and what it is to bring; `excerpt` is how that begins.

    `delivery.reason` says why, `delivery.heldUntilMs` until when; nobody but a person or a plugin
    ends one without such a time.
    """

    delivery: Delivery
    from_: AgentId = msgspec.field(name="from")
    to: str
    excerpt: str
    subject: str | None = None
    urgent: bool = False


class HeldList(Struct):
    """GET /api/held: newest first. `needs_yes` is how many wait for a human's yes, in all."""

    held: tuple[HeldDelivery, ...]
    needs_yes: int = 0


class HeldView(Struct):
    """GET /api/held/{id}: what the sender wrote, and the text that its recipient gets instead."""

    delivery: Delivery
    message: Message
    edited_body: str | None = None


class HeldPatch(Struct):
    """PATCH /api/held/{id}: the text that the recipient gets in the place of the sender's."""

    body: str


class DropRequest(Struct):
    """POST /api/held/{id}/drop: `reason` is one word, which the sender sees."""

    reason: str = "dropped"
