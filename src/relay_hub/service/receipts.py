"""Receipts: what a sender is told of what became of its message, as it happens."""

# Rule 1: what a transaction did to one delivery is one receipt, of how things stand at its end.
# Rule 2: a receipt is a frame, never a message: no agent gets a turn to hear how another's mail is.
# Rule 3: what changes by itself, such as who is away, is told to whoever asks, and not pushed.

from __future__ import annotations

from relay_core.hub_api import ReceiptFrame
from relay_core.messages import REQUEST, Delivery, Message
from relay_hub.service import requests
from relay_hub.service.changes import Changes
from relay_hub.store import Reads


async def made(reads: Reads, changes: Changes) -> tuple[ReceiptFrame, ...]:
    """Make the receipts of a transaction, of what it has stored, in the order of the last steps."""
    noted = {delivery.id: message for message, delivery in reversed(changes.receipts)}
    found: list[ReceiptFrame] = []
    for delivery_id, message in reversed(noted.items()):
        delivery = await reads.delivery(delivery_id)
        if delivery is not None:
            found.append(await _receipt(reads, message, delivery, changes.now_ms))
    return tuple(found)


async def _receipt(reads: Reads, message: Message, delivery: Delivery, now_ms: int) -> ReceiptFrame:
    asked = message.type == REQUEST
    claim = await reads.claim(message.id) if message.claimable else None
    return ReceiptFrame(
        message_id=delivery.message_id,
        delivery_id=delivery.id,
        agent_id=delivery.agent_id,
        state=delivery.state,
        reason=delivery.reason,
        sender=message.from_,
        turn_status=delivery.turn_status,
        answer=(await requests.answer(reads, delivery)).state if asked else None,
        claim=claim.state if claim is not None and claim.agent_id == delivery.agent_id else None,
        at_ms=now_ms,
    )
