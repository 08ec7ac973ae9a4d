"""Taking a message back: what is not on its way yet is cancelled, what is over stays as it is."""

# Rule 1: what may be in a session is left alone: only evidence decides about it.
# Rule 2: the work of a claimable message that was taken back is offered to nobody any more; who is
#         at it may go on.

from __future__ import annotations

from relay_core.delivery import IN_DOUBT, CancelRequested, allows
from relay_core.errors import HubRefused
from relay_core.hub_api import Cancellation, CancelledDelivery
from relay_core.messages import ClaimState, Delivery, MessageId
from relay_hub.callers import Caller
from relay_hub.service import checks, claims
from relay_hub.service.changes import Changes, apply
from relay_hub.store import Transaction

CANCELLED = "cancelled"
ON_ITS_WAY = "on_its_way"
OVER = "over"


async def cancel(
    tx: Transaction, message_id: MessageId, caller: Caller, changes: Changes
) -> Cancellation:
    """Cancel every delivery that can be; again is harmless.

    404 `unknown_message`, and 403 `not_the_sender` for a recipient.
    """
    message = await tx.message(message_id)
    deliveries = await tx.deliveries_of(message_id)
    if message is None or not (
        caller.may_act_as(message.from_) or any(caller.may_act_as(d.agent_id) for d in deliveries)
    ):
        raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
    if not caller.may_act_as(message.from_):
        raise HubRefused(
            403, "not_the_sender", f"message {message_id} is {message.from_}'s to take back"
        )
    found = [await _cancel(tx, each, changes) for each in deliveries]
    await claims.settle(tx, changes)
    claim = await tx.claim(message_id)
    if claim is not None and claim.state is ClaimState.OPEN:
        await claims.bury(tx, claim, changes)
    return Cancellation(id=message_id, deliveries=tuple(found))


async def _cancel(tx: Transaction, delivery: Delivery, changes: Changes) -> CancelledDelivery:
    result = ON_ITS_WAY if delivery.state in IN_DOUBT else OVER
    if allows(delivery, CancelRequested):
        delivery = await apply(tx, delivery, CancelRequested(), changes)
        result = CANCELLED
    return CancelledDelivery(
        id=delivery.id,
        agent_id=delivery.agent_id,
        result=result,
        state=delivery.state,
        reason=delivery.reason,
    )
