"""What the hub itself has to say: messages from `hub`, which nobody can answer."""

# Rule 1: a notice is stored in the transaction of what it tells of, so it is told once, also to a
#         sender that is away.
# Rule 2: nothing is told of a notice: two of them never answer each other.

from __future__ import annotations

import msgspec

from relay_core.messages import (
    HUB,
    Credential,
    Delivery,
    Message,
    MessageId,
    Sender,
    Struct,
)
from relay_core.sessions import Agent
from relay_hub.service import posting
from relay_hub.service.changes import Changes
from relay_hub.store import Transaction

DEAD = "delivery.dead"
"""The type of what tells a sender that deliveries of its message are dead."""


HUB_SENDER = Sender(id=HUB, credential=Credential.HUB)
"""Who says what nobody else says."""

_MOST_NAMED = 5


class _DeadMeta(Struct):
    message_id: MessageId
    delivery_ids: tuple[int, ...]
    reason: str


async def tell_of_the_dead(tx: Transaction, changes: Changes) -> None:
    """Tell the senders what died in this transaction, with one notice for each message."""
    died: dict[MessageId, list[Delivery]] = {}
    for delivery in changes.died:
        died.setdefault(delivery.message_id, []).append(delivery)
    changes.died.clear()
    for message_id, deliveries in died.items():
        message = await tx.message(message_id)
        if message is None or message.from_ == HUB:
            continue
        sender = await tx.agent(message.from_)
        # Where nobody can be told, or too much waits already, the list of dead letters tells it.
        if sender is not None and await posting.has_room(tx, sender, changes.limits):
            notice = _of_the_dead(message, sender, deliveries, changes)
            await posting.post(tx, notice, sender, changes)


def _of_the_dead(
    message: Message, sender: Agent, deliveries: list[Delivery], changes: Changes
) -> Message:
    whom = ", ".join(f"{each.agent_id} ({each.reason})" for each in deliveries[:_MOST_NAMED])
    more = len(deliveries) - _MOST_NAMED
    also = f" and {more} more" if more > 0 else ""
    first, ids = deliveries[0], tuple(each.id for each in deliveries)
    meta = _DeadMeta(message_id=message.id, delivery_ids=ids, reason=first.reason or "unknown")
    return Message(
        id=MessageId(0),
        from_=HUB,
        to=sender.id,
        body=(
            f"Message {message.id} did not reach {whom}{also}, and is not tried again by itself.\n"
            f"What happened: agent-relay dead show {first.id}\n"
            f"To try again: agent-relay dead retry {first.id}"
        ),
        sender=HUB_SENDER,
        created_at=changes.now_ms,
        subject=f"Message {message.id} was not delivered",
        reply_to=message.id,
        type=DEAD,
        meta=msgspec.Raw(msgspec.json.encode(meta)),
        conversation_id=message.conversation_id,
        expires_at=changes.now_ms + changes.limits.ttl_ms,
    )
