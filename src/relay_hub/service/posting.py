"""Putting a message into the mail of one recipient."""

from __future__ import annotations

from msgspec.structs import replace

from relay_core.hub_api import SentDelivery
from relay_core.messages import (
    OPERATOR,
    AgentId,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
    Sender,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service.changes import Changes
from relay_hub.store import Transaction

RECIPIENT_FULL = "recipient_full"


def seen(sender_id: AgentId, agent: Agent | None, caller: Caller) -> Sender:
    """The hub's own view of who sends; `agent` is None for one that is not registered."""
    if agent is None:
        return Sender(id=sender_id, credential=caller.credential)
    return Sender(
        id=sender_id,
        label=agent.label,
        tags=agent.tags,
        capabilities=agent.capabilities,
        credential=caller.credential,
    )


async def has_room(tx: Transaction, agent: Agent, limits: Limits) -> bool:
    """Tell whether an agent's queue takes one more."""
    # What waits for the person at the keyboard costs nobody a turn.
    if agent.id == OPERATOR:
        return True
    most = limits.recipient_queue
    return await tx.waiting_count(agent.id, most) < most


async def post(tx: Transaction, message: Message, agent: Agent, changes: Changes) -> Delivery:
    """Store a new message for one agent, whose queue is not looked at."""
    return await add(tx, await tx.add_message(message), agent, message, changes)


async def add(
    tx: Transaction,
    message_id: MessageId,
    agent: Agent,
    message: Message,
    changes: Changes,
    *,
    fits: bool = True,
    approved_ms: int | None = None,
) -> Delivery:
    """Store a delivery of a message that is stored; one that does not fit is skipped.

    In a group, one full queue keeps nobody else from the message; the sender can see it.
    """
    delivery = Delivery(
        id=DeliveryId(0),
        message_id=message_id,
        agent_id=agent.id,
        seq=await tx.next_seq(agent.id),
        state=DeliveryState.QUEUED if fits else DeliveryState.SKIPPED,
        reason=None if fits else RECIPIENT_FULL,
        expires_ms=message.expires_at,
        created_ms=changes.now_ms,
        updated_ms=changes.now_ms,
        approved_ms=approved_ms,
    )
    stored = replace(delivery, id=await tx.add_delivery(delivery))
    if fits:
        changes.has_mail(stored)
    return stored


async def add_again(
    tx: Transaction, former: Delivery, agent: Agent, message: Message, changes: Changes
) -> Delivery:
    """Store a delivery in the place of one that is over.

    What a person has decided about that one holds for it: the yes, and the edited text.
    """
    successor = await add(
        tx, former.message_id, agent, message, changes, approved_ms=former.approved_ms
    )
    if (edited := await tx.edited_body(former.id)) is not None:
        await tx.put_edited_body(successor.id, edited)
        successor = replace(successor, edited=True)
    await tx.put_retried(former.id, successor.id)
    return successor


def sent(delivery: Delivery, *, away: bool) -> SentDelivery:
    """A new delivery as its sender is told of it."""
    return SentDelivery(id=delivery.id, agent_id=delivery.agent_id, state=delivery.state, away=away)
