"""Dead letters: deliveries that are not tried again by themselves, and what people do with them."""

# Rule 1: dead is final. A retry is a new delivery of the same message to the same agent; the dead
#         one says which.
# Rule 2: what was retried or dropped is listed no longer; both are kept as long as the message.
# Rule 3: the user, the sender and the recipient may look; the user and the sender may decide.

from __future__ import annotations

from msgspec.structs import replace

from relay_core.dead_letters import AttemptView, DeadLetter, DeadView
from relay_core.errors import HubRefused
from relay_core.messages import ClaimEvent, ClaimState, Delivery, DeliveryId, DeliveryState, Message
from relay_hub.callers import Caller
from relay_hub.service import checks, claims, posting, sending, views
from relay_hub.service.changes import Changes
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import EXCERPT_CHARS, AttemptRow


async def show(reads: Reads, delivery_id: DeliveryId, caller: Caller) -> DeadView:
    """All that is known of one; 404 `unknown_dead_letter`."""
    delivery, message = await _letter(reads, delivery_id, caller)
    message = await views.as_read(reads, message, delivery, caller)
    return DeadView(
        delivery=delivery,
        message=message,
        dropped_ms=await reads.dropped_ms(delivery_id),
        attempts=tuple(map(_view, await reads.attempts_of(delivery_id))),
        transitions=await reads.transitions_of(delivery_id),
    )


async def retry(
    tx: Transaction, delivery_id: DeliveryId, caller: Caller, changes: Changes
) -> Delivery:
    """Queue a new delivery in the place of a dead one, with the message's time to live anew.

    What a person has decided about the dead one holds for it: the yes, and the edited text.

    409 `already_retried` (with the successor's id), `recipient_gone` or `claim_held`, 429
    `recipient_full`.
    """
    dead, message = await _letter(tx, delivery_id, caller)
    _must_decide(message, caller)
    if dead.retried_as is not None:
        raise _retried(dead, dead.retried_as)
    agent = await tx.agent(dead.agent_id)
    if agent is None:
        raise HubRefused(409, "recipient_gone", f"{dead.agent_id} is not registered")
    if not await posting.has_room(tx, agent, changes.limits):
        raise sending.full(agent.id, changes.limits)
    await _offer_work(tx, dead, changes)
    span_ms = (message.expires_at or message.created_at) - message.created_at
    renewed = replace(message, expires_at=changes.now_ms + (span_ms or changes.limits.ttl_ms))
    return await posting.add_again(tx, dead, agent, renewed, changes)


async def _offer_work(tx: Transaction, dead: Delivery, changes: Changes) -> None:
    claim = await tx.claim(dead.message_id)
    if claim is None or claim.state is ClaimState.OPEN:
        return
    if claim.state is not ClaimState.DEAD:
        whose = f"{claim.agent_id} has it" if claim.state is ClaimState.HELD else claim.state
        raise HubRefused(409, "claim_held", f"message {dead.message_id}: its work is {whose}")
    opened = replace(claim, state=ClaimState.OPEN, token=claim.token + 1, agent_id=None, lapses=0)
    await claims.move(tx, opened, ClaimEvent.REOPENED, None, changes)


async def drop(
    tx: Transaction, delivery_id: DeliveryId, caller: Caller, changes: Changes
) -> DeadLetter:
    """Take a dead letter off the list; again is harmless."""
    dead, message = await _letter(tx, delivery_id, caller)
    _must_decide(message, caller)
    if dead.retried_as is not None:
        raise _retried(dead, dead.retried_as)
    dropped_ms = await tx.dropped_ms(delivery_id)
    if dropped_ms is None:
        dropped_ms = changes.now_ms
        await tx.put_dropped(delivery_id, dropped_ms)
    return DeadLetter(
        delivery=dead,
        from_=message.from_,
        to=message.to,
        excerpt=message.body[:EXCERPT_CHARS],
        subject=message.subject,
        dropped_ms=dropped_ms,
    )


async def _letter(
    reads: Reads, delivery_id: DeliveryId, caller: Caller
) -> tuple[Delivery, Message]:
    delivery = await reads.delivery(delivery_id)
    message = None if delivery is None else await reads.message(delivery.message_id)
    if (
        delivery is None
        or message is None
        or not await views.may_see(reads, message, (delivery,), caller)
    ):
        raise _unknown(f"there is no delivery {delivery_id}")
    if delivery.state is not DeliveryState.DEAD:
        raise _unknown(f"delivery {delivery_id} is {delivery.state}, not dead")
    return delivery, message


def _must_decide(message: Message, caller: Caller) -> None:
    if not caller.may_act_as(message.from_):
        raise HubRefused(
            403, "not_the_sender", f"message {message.id} is {message.from_}'s to try again or drop"
        )


def _unknown(detail: str) -> HubRefused:
    return checks.refuse("unknown_dead_letter", detail, status=404)


def _retried(dead: Delivery, successor: DeliveryId) -> HubRefused:
    return HubRefused(
        409,
        "already_retried",
        f"delivery {successor} took the place of {dead.id}",
        delivery_ids=(successor,),
    )


def _view(row: AttemptRow) -> AttemptView:
    return AttemptView(
        id=row.id,
        agent_id=row.agent_id,
        thread_id=row.thread_id,
        delivery_ids=row.delivery_ids,
        started_ms=row.started_ms,
        epoch=row.epoch,
        outcome=row.outcome,
        resolved_ms=row.resolved_ms,
        turn_id=row.turn_id,
        turn_status=row.turn_status,
    )
