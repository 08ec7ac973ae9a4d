"""What a transaction leaves to be told once it is committed, and how it steps a delivery."""

from __future__ import annotations

from collections.abc import Callable

from relay_core.delivery import (
    Event,
    OfferAgain,
    ReopenClaim,
    Skipped,
    TellSender,
    allows,
    step,
)
from relay_core.errors import HubRefused, IllegalTransition
from relay_core.hub_api import ReceiptFrame
from relay_core.messages import AgentId, Delivery, DeliveryState, Message
from relay_hub.limits import Limits
from relay_hub.store import Transaction


class Changes:
    """One transaction's time, randomness and limits, and whom to tell afterwards."""

    def __init__(self, now_ms: int, jitter: Callable[[], float], limits: Limits) -> None:
        self.now_ms = now_ms
        self.jitter = jitter
        self.limits = limits
        self.mail: dict[AgentId, int] = {}
        self.receipts: list[tuple[Message, Delivery]] = []
        self.told: tuple[ReceiptFrame, ...] = ()
        self.fenced: dict[AgentId, int] = {}
        self.reopened: list[Delivery] = []
        self.declined: list[Delivery] = []
        self.died: list[Delivery] = []

    def begin(self) -> None:
        """Forget what an earlier run of the same transaction left."""
        self.mail.clear()
        self.receipts.clear()
        self.told = ()
        self.fenced.clear()
        self.reopened.clear()
        self.declined.clear()
        self.died.clear()

    def has_mail(self, delivery: Delivery) -> None:
        """Let the recipient's host look at this delivery."""
        self.look_again(delivery.agent_id, delivery.message_id)

    def look_again(self, agent_id: AgentId, up_to: int) -> None:
        """Let an agent's host look at what is open for it; `up_to` is the newest message that is
        concerned."""
        self.mail[agent_id] = max(self.mail.get(agent_id, 0), up_to)


async def apply(tx: Transaction, delivery: Delivery, event: Event, changes: Changes) -> Delivery:
    """Step one delivery and store it; what its commands ask for is noted in `changes`.

    A claim that will not be used is left in `changes.reopened` for `claims.settle`, what its agent
    does not want in `changes.declined`, and what died in `changes.died` for
    `notices.tell_of_the_dead`.
    """
    try:
        result = step(delivery, event, now_ms=changes.now_ms, jitter=changes.jitter())
    except IllegalTransition as error:
        raise HubRefused(
            409, "illegal_transition", error.detail, delivery_ids=(delivery.id,)
        ) from error
    await tx.put_delivery(result.delivery, before=delivery, event=type(event).__name__)
    if result.delivery.state is DeliveryState.DEAD:
        changes.died.append(result.delivery)
    elif isinstance(event, Skipped):
        changes.declined.append(result.delivery)
    for command in result.commands:
        match command:
            case TellSender():
                await tell_sender(tx, result.delivery, changes)
            case OfferAgain(at_ms=at_ms) if at_ms <= changes.now_ms:
                changes.has_mail(result.delivery)
            case ReopenClaim():
                changes.reopened.append(result.delivery)
            case _:
                pass  # a later offer: the sweep hints at it when its time comes
    return result.delivery


async def apply_where_allowed(
    tx: Transaction, delivery: Delivery, event: Event, changes: Changes
) -> Delivery:
    """Step a delivery if the table has an arrow for it, else leave it alone."""
    if not allows(delivery, type(event)):
        return delivery
    return await apply(tx, delivery, event, changes)


async def tell_sender(tx: Transaction, delivery: Delivery, changes: Changes) -> None:
    """Note that the sender of a delivery's message is to hear where it stands."""
    message = await tx.message(delivery.message_id)
    if message is not None:
        changes.receipts.append((message, delivery))
