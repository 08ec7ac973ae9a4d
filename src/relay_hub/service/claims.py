"""Who does the work of a claimable message: one agent at a time, and nobody twice."""

# Rule 1: the token only grows: with each claim, renewal, release and end. Work under an old token
#         is refused with `stale_claim`.
# Rule 2: `leased` is the holder's delivery before it was injected. Every other waiting delivery of
#         the message is skipped, `claimed_by_other`, until the claim is open again.
# Rule 3: only the sweep lapses a claim, so that a lease may end late but never early; but for work
#         whose turn was cut off: its session lives on and renews it, and nobody works for it.
# Rule 4: a holder that marked the message as read by itself is a polling client, which has no way
#         to say that it is done: its claim ends as done.
# Rule 5: nobody is offered again what is in its session, while there is anybody else. When all have
#         had it and lost it, a lapsed claim is offered to them anew: in a new delivery each.
# Rule 6: each change of hands is on record, in the transaction that makes it; renewals are not. The
#         record also tells a call that is repeated from one that comes too late.

from __future__ import annotations

import math
from typing import TypeGuard

from msgspec.structs import replace

from relay_core.delivery import (
    CLAIMED_BY_OTHER,
    COMES_BACK,
    FINAL,
    RELEASED,
    Claimed,
    ClaimExhausted,
    ClaimReopened,
    ClaimTakenByOther,
    MarkedRead,
    Skipped,
)
from relay_core.errors import HubRefused
from relay_core.hub_api import ClaimRequest
from relay_core.messages import (
    AgentId,
    ClaimEvent,
    ClaimState,
    Delivery,
    DeliveryState,
    MessageId,
)
from relay_core.work import HandOver
from relay_hub.service import checks, posting
from relay_hub.service.changes import Changes, apply, apply_where_allowed, tell_sender
from relay_hub.store import Transaction
from relay_hub.store.rows import ClaimRow

ENDED = frozenset({ClaimState.DONE, ClaimState.FAILED, ClaimState.DEAD})
_CLAIMABLE_FROM = frozenset({DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.DELIVERED})
_ENDED_BY = {ClaimState.DONE: ClaimEvent.COMPLETED, ClaimState.FAILED: ClaimEvent.FAILED}


async def take(
    tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
) -> ClaimRow:
    """Give the claim to an agent that the message was sent to.

    409 `claim_held` when another agent has it or the work is over, `not_waiting` when this agent's
    delivery is not to be had.
    """
    claim = await _claim(tx, message_id, request)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is None:
        raise checks.refuse(
            "not_a_recipient",
            f"message {message_id} was not sent to {request.agent_id}",
            status=403,
        )
    if claim.state in ENDED:
        raise _held(message_id, f"its work is {claim.state}", own)
    if claim.state is ClaimState.HELD and claim.agent_id != request.agent_id:
        raise _held(message_id, f"{claim.agent_id} has it", own)
    if own.state not in _CLAIMABLE_FROM and not _comes_back(own):
        raise HubRefused(
            409,
            "not_waiting",
            f"delivery {own.id} is {own.state}",
            delivery_ids=(own.id,),
        )
    granted = await _grant(tx, claim, own, changes)
    if request.kept:
        changes.mail.pop(own.agent_id, None)
    else:  # somebody took it for the agent, whose host is to renew it from now on
        changes.has_mail(own)
    return granted


async def move(
    tx: Transaction, claim: ClaimRow, event: ClaimEvent, agent_id: AgentId | None, changes: Changes
) -> ClaimRow:
    """Store a claim in its new state, and that it got there."""
    moved = replace(claim, since_ms=changes.now_ms)
    await tx.put_claim(moved)
    step = HandOver(at_ms=changes.now_ms, event=event, agent_id=agent_id, token=claim.token)
    await tx.add_hand_over(claim.message_id, step)
    return moved


async def _grant(tx: Transaction, claim: ClaimRow, own: Delivery, changes: Changes) -> ClaimRow:
    taken = replace(
        claim,
        state=ClaimState.HELD,
        token=claim.token + 1,
        agent_id=own.agent_id,
        claimed_ms=changes.now_ms,
        until_ms=changes.now_ms + changes.limits.claim_lease_ms,
    )
    granted = await move(tx, taken, ClaimEvent.TAKEN, own.agent_id, changes)
    if _comes_back(own):
        own = await apply(tx, own, ClaimReopened(), changes)
    own = await apply_where_allowed(tx, own, Claimed(token=granted.token), changes)
    await tell_sender(tx, own, changes)
    for other in await tx.deliveries_of(claim.message_id):
        if other.id != own.id and other.agent_id != own.agent_id:
            await apply_where_allowed(tx, other, ClaimTakenByOther(), changes)
    return granted


async def renew(
    tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
) -> ClaimRow:
    """Give the holder another lease; 409 `stale_claim` when it is none."""
    claim = _held_by(await _claim(tx, message_id, request), request)
    renewed = replace(
        claim, token=claim.token + 1, until_ms=changes.now_ms + changes.limits.claim_lease_ms
    )
    await tx.put_claim(renewed)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is not None and own.state is DeliveryState.LEASED:
        await apply(tx, own, Claimed(token=renewed.token), changes)
    return renewed


async def end(
    tx: Transaction,
    message_id: MessageId,
    request: ClaimRequest,
    state: ClaimState,
    changes: Changes,
) -> ClaimRow:
    """Store that the work is done or has failed; nobody is offered it again."""
    claim = await _claim(tx, message_id, request)
    if await _is_repeated(tx, request, claim, _ENDED_BY[state]):
        return claim
    claim = _held_by(claim, request)
    over = replace(claim, state=state, token=claim.token + 1, until_ms=None, result=request.result)
    ended = await move(tx, over, _ENDED_BY[state], request.agent_id, changes)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is not None and own.state is DeliveryState.LEASED:
        own = await apply(tx, own, MarkedRead(), changes)
    elif own is not None:
        await tell_sender(tx, own, changes)
    return ended


async def end_answered(
    tx: Transaction,
    message_id: MessageId,
    agent_id: AgentId,
    changes: Changes,
    *,
    not_sent: str | None = None,
) -> None:
    """End the work of a request as done: its holder has answered it, or was not let."""
    claim = await tx.claim(message_id)
    if _is_held_by(claim, agent_id):
        await _done(tx, replace(claim, not_sent=not_sent), changes)


async def _done(tx: Transaction, claim: ClaimRow, changes: Changes) -> None:
    done = replace(claim, state=ClaimState.DONE, token=claim.token + 1, until_ms=None)
    await move(tx, done, ClaimEvent.COMPLETED, claim.agent_id, changes)


async def release(
    tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
) -> ClaimRow:
    """Offer the work to the others; the one that gave it back is not asked again."""
    claim = await _claim(tx, message_id, request)
    if await _is_repeated(tx, request, claim, ClaimEvent.RELEASED):
        return claim
    opened = await _open(tx, _held_by(claim, request), request.agent_id, changes)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is not None and own.state is DeliveryState.LEASED:
        await apply(tx, own, Skipped(reason=RELEASED), changes)
    elif own is not None:
        await tell_sender(tx, own, changes)
    return opened


async def give_back(
    tx: Transaction, message_id: MessageId, agent_id: AgentId, changes: Changes
) -> None:
    """Offer the work to the others where this agent holds it, and will not end it any more."""
    claim = await tx.claim(message_id)
    if _is_held_by(claim, agent_id):
        await _open(tx, claim, agent_id, changes)


async def leave(tx: Transaction, agent_id: AgentId, changes: Changes) -> None:
    """Offer to the others all that an agent holds that is about to be deleted."""
    for claim in await tx.claims_of(agent_id):
        await _open(tx, claim, agent_id, changes)


async def lapse(tx: Transaction, message_id: MessageId, changes: Changes) -> None:
    """End a lease that nobody renewed: offer the work again, or bury it after too many."""
    claim = await tx.claim(message_id)
    if claim is None or claim.state is not ClaimState.HELD or claim.agent_id is None:
        return
    if claim.until_ms is None or claim.until_ms > changes.now_ms:
        return
    await _lapse(tx, claim, claim.agent_id, changes)


async def cut_off(tx: Transaction, delivery: Delivery, changes: Changes) -> None:
    """End the lease of work whose turn was cut off: its session lives, and would renew it."""
    claim = await tx.claim(delivery.message_id)
    if _is_held_by(claim, delivery.agent_id):
        await _lapse(tx, claim, delivery.agent_id, changes)


async def _lapse(tx: Transaction, claim: ClaimRow, former: AgentId, changes: Changes) -> None:
    message_id, lapses = claim.message_id, claim.lapses + 1
    own = await tx.delivery_for(message_id, former)
    if own is not None and own.state is DeliveryState.DELIVERED and own.reason == "read":
        await _done(tx, claim, changes)
        return
    opened = replace(_opened(claim), lapses=lapses)
    opened = await move(tx, opened, ClaimEvent.LAPSED, former, changes)
    if lapses >= changes.limits.claim_lapses:
        await bury(tx, opened, changes)
        for each in await tx.deliveries_of(message_id):
            await apply_where_allowed(tx, each, ClaimExhausted(), changes)
        if own is not None:
            await tell_sender(tx, own, changes)
        return
    if own is not None and own.state is DeliveryState.LEASED:
        await apply(tx, own, ClaimReopened(), changes)
    if own is not None:
        await tell_sender(tx, own, changes)
    await _offer_again(tx, message_id, former, changes)
    await _offer_to_former_holders(tx, opened, changes)


async def bury(tx: Transaction, claim: ClaimRow, changes: Changes) -> None:
    """Store that the work is offered to nobody any more."""
    dead = replace(claim, state=ClaimState.DEAD, token=claim.token + 1)
    await move(tx, dead, ClaimEvent.DEAD, None, changes)


async def settle(tx: Transaction, changes: Changes) -> None:
    """Reopen the claims that deliveries gave up in this transaction.

    Where the last of the others did not want what somebody has had and lost, that one gets it anew.
    """
    while changes.reopened:
        delivery = changes.reopened.pop()
        await give_back(tx, delivery.message_id, delivery.agent_id, changes)
    for delivery in changes.declined:
        claim = await tx.claim(delivery.message_id)
        if claim is not None and claim.state is ClaimState.OPEN and claim.lapses:
            await _offer_to_former_holders(tx, claim, changes)


async def resume(tx: Transaction, delivery: Delivery, changes: Changes) -> None:
    """Set a delivery right that came back from doubt: its claim may have gone meanwhile.

    An agent that has the work in its session gets a claim back that lapsed and nobody took.
    """
    if delivery.state is DeliveryState.DELIVERED and delivery.claim_token is not None:
        claim = await tx.claim(delivery.message_id)
        if claim is not None and claim.state is ClaimState.OPEN:
            await _take_up(tx, claim, delivery, changes)
        return
    if delivery.state is not DeliveryState.LEASED:
        return
    claim = await tx.claim(delivery.message_id)
    if claim is None or claim.state is ClaimState.OPEN:
        await apply(tx, delivery, ClaimReopened(), changes)
    elif claim.state is ClaimState.DEAD:
        await apply(tx, delivery, ClaimExhausted(), changes)
    elif claim.state is not ClaimState.HELD or claim.agent_id != delivery.agent_id:
        await apply(tx, delivery, ClaimTakenByOther(), changes)


async def holds(tx: Transaction, delivery: Delivery) -> bool:
    """Tell whether a delivery may be injected, as far as claims go."""
    claim = await tx.claim(delivery.message_id)
    return claim is None or _is_held_by(claim, delivery.agent_id)


async def _open(tx: Transaction, claim: ClaimRow, former: AgentId, changes: Changes) -> ClaimRow:
    opened = await move(tx, _opened(claim), ClaimEvent.RELEASED, former, changes)
    await _offer_again(tx, claim.message_id, former, changes)
    return opened


async def _offer_again(
    tx: Transaction, message_id: MessageId, former: AgentId, changes: Changes
) -> None:
    for other in await tx.deliveries_of(message_id):
        if (
            other.agent_id != former
            and other.state is DeliveryState.SKIPPED
            and other.reason == CLAIMED_BY_OTHER
            and await tx.agent(other.agent_id) is not None
        ):
            await apply(tx, other, ClaimReopened(), changes)


async def _take_up(tx: Transaction, claim: ClaimRow, delivery: Delivery, changes: Changes) -> None:
    last = await _last_step(tx, claim.message_id, delivery.agent_id)
    if last is not None and last.event is ClaimEvent.LAPSED:
        await _grant(tx, claim, delivery, changes)
        changes.has_mail(delivery)


async def _offer_to_former_holders(tx: Transaction, claim: ClaimRow, changes: Changes) -> None:
    """Offer open work to those who had it and lost it, where nobody else is left."""
    message_id, deliveries = claim.message_id, await tx.deliveries_of(claim.message_id)
    if any(each.state not in FINAL for each in deliveries):
        return
    message = await tx.message(message_id)
    taken_back = any(each.state is DeliveryState.CANCELLED for each in deliveries)
    if message is None or taken_back or (message.expires_at or math.inf) <= changes.now_ms:
        await bury(tx, claim, changes)
        return
    for each in deliveries:
        if each.state is not DeliveryState.DELIVERED or each.retried_as is not None:
            continue
        agent = await tx.agent(each.agent_id)
        last = await _last_step(tx, message_id, each.agent_id)
        if agent is not None and last is not None and last.event is ClaimEvent.LAPSED:
            await posting.add_again(tx, each, agent, message, changes)


async def _claim(tx: Transaction, message_id: MessageId, request: ClaimRequest) -> ClaimRow:
    agent = await tx.agent(request.agent_id)
    checks.fence(agent, request.agent_id, request.instance_id, request.epoch, required=True)
    claim = await tx.claim(message_id)
    if claim is not None:
        return claim
    if await tx.message(message_id) is None:
        raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
    raise not_claimable(message_id)


def not_claimable(message_id: MessageId) -> HubRefused:
    """400 `not_claimable`."""
    return checks.refuse("not_claimable", f"message {message_id} is not claimable", status=400)


def _held_by(claim: ClaimRow, request: ClaimRequest) -> ClaimRow:
    if not _is_held_by(claim, request.agent_id) or request.token not in {None, claim.token}:
        raise HubRefused(
            409,
            "stale_claim",
            f"{request.agent_id} does not hold the claim on message {claim.message_id} (any more)",
        )
    return claim


def _is_held_by(claim: ClaimRow | None, agent_id: AgentId) -> TypeGuard[ClaimRow]:
    return claim is not None and claim.state is ClaimState.HELD and claim.agent_id == agent_id


async def _is_repeated(
    tx: Transaction, request: ClaimRequest, claim: ClaimRow, event: ClaimEvent
) -> bool:
    """Tell whether this very thing is the last that the agent did with the claim."""
    last = await _last_step(tx, claim.message_id, request.agent_id)
    if last is None or last.event is not event:
        return False
    return request.token in {None, last.token - 1, last.token}


async def _last_step(tx: Transaction, message_id: MessageId, agent_id: AgentId) -> HandOver | None:
    steps = await tx.hand_overs(message_id)
    return next((each for each in reversed(steps) if each.agent_id == agent_id), None)


def _comes_back(delivery: Delivery) -> bool:
    return delivery.state is DeliveryState.SKIPPED and delivery.reason in COMES_BACK


def _opened(claim: ClaimRow) -> ClaimRow:
    return replace(
        claim,
        state=ClaimState.OPEN,
        token=claim.token + 1,
        agent_id=None,
        claimed_ms=None,
        until_ms=None,
    )


def _held(message_id: MessageId, why: str, own: Delivery) -> HubRefused:
    return HubRefused(409, "claim_held", f"message {message_id}: {why}", delivery_ids=(own.id,))
