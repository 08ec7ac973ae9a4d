"""Held mail: what a person decides about deliveries that wait."""

# Rule 1: the user alone looks and decides: an agent must not approve what it has sent.
# Rule 2: a yes is final: `approved_ms` stays with the delivery, and its host holds it no more.
# Rule 3: an edit is the recipient's alone: the sender and the user go on reading the message as it
#         was sent. It still waits for the yes.
# Rule 4: what waits for a yes is read by no agent that it is for: see `views.may_read`.
# Rule 5: a delivery that is no longer held is refused with 409 `not_held`, whatever became of it.

from __future__ import annotations

import re

from relay_core.delivery import CLAIMED_BY_OTHER, Edited, Event, Released, Skipped
from relay_core.errors import HubRefused
from relay_core.held_mail import HeldView
from relay_core.messages import Delivery, DeliveryId, DeliveryState, Message
from relay_hub.service import checks, sending
from relay_hub.service.changes import Changes, apply
from relay_hub.store import Reads, Transaction

_WORD = re.compile(r"[a-z0-9_]{1,64}")


async def show(reads: Reads, delivery_id: DeliveryId) -> HeldView:
    """What was sent, and what its recipient would get."""
    delivery, message = await _held(reads, delivery_id)
    return await _view(reads, delivery, message)


async def approve(tx: Transaction, delivery_id: DeliveryId, changes: Changes) -> Delivery:
    """Let it through, for good."""
    return await _decide(tx, delivery_id, Released(approved=True), changes)


async def drop(tx: Transaction, delivery_id: DeliveryId, reason: str, changes: Changes) -> Delivery:
    """Never deliver it; the sender sees the reason."""
    if not _WORD.fullmatch(reason) or reason == CLAIMED_BY_OTHER:
        raise checks.refuse(
            "bad_reason",
            f"{reason[:64]!a} is no reason to drop something",
            fix="use one word of at most 64 of a-z 0-9 _",
        )
    return await _decide(tx, delivery_id, Skipped(reason=reason), changes)


async def edit(tx: Transaction, delivery_id: DeliveryId, body: str, changes: Changes) -> HeldView:
    """Give the recipient another text; 413 `body_too_large`."""
    sending.check_body(body, changes.limits)
    _, message = await _held(tx, delivery_id)
    edited = await _decide(tx, delivery_id, Edited(), changes)
    await tx.put_edited_body(delivery_id, body)
    return await _view(tx, edited, message)


async def _decide(
    tx: Transaction, delivery_id: DeliveryId, event: Event, changes: Changes
) -> Delivery:
    delivery, _ = await _held(tx, delivery_id)
    return await apply(tx, delivery, event, changes)


async def _view(reads: Reads, delivery: Delivery, message: Message) -> HeldView:
    return HeldView(
        delivery=delivery, message=message, edited_body=await reads.edited_body(delivery.id)
    )


async def _held(reads: Reads, delivery_id: DeliveryId) -> tuple[Delivery, Message]:
    delivery = await reads.delivery(delivery_id)
    message = None if delivery is None else await reads.message(delivery.message_id)
    if delivery is None or message is None:
        raise checks.refuse("unknown_delivery", f"there is no delivery {delivery_id}", status=404)
    if delivery.state is not DeliveryState.HELD:
        why = f" ({delivery.reason})" if delivery.reason else ""
        raise HubRefused(
            409,
            "not_held",
            f"delivery {delivery_id} is {delivery.state}{why}, not held",
            delivery_ids=(delivery_id,),
        )
    return delivery, message
