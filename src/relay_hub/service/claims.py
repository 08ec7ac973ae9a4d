"""Who does the work of a claimable message: one agent at a time, and nobody twice."""

# Rule 1: the token only grows: with each claim, renewal, release and end. Work under an old token
#         is refused with `stale_claim`.
# Rule 2: `leased` is the holder's delivery before it was injected. Every other waiting delivery of
#         the message is skipped, `claimed_by_other`, until the claim is open again.
# Rule 3: only the sweep lapses a claim, so that a lease may end late but never early.
# Rule 4: a holder that marked the message as read by itself is a polling client, which has no way
#         to say that it is done: its claim ends as done.

from __future__ import annotations

from msgspec.structs import replace

from relay_core.delivery import (
    CLAIMED_BY_OTHER,
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
    ClaimState,
    Delivery,
    DeliveryState,
    MessageId,
)
from relay_hub.service import checks
from relay_hub.service.changes import Changes, apply, apply_where_allowed, tell_sender
from relay_hub.store import Transaction
from relay_hub.store.rows import ClaimRow

ENDED = frozenset({ClaimState.DONE, ClaimState.FAILED, ClaimState.DEAD})
_CLAIMABLE_FROM = frozenset({DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.DELIVERED})


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
    if own.state not in _CLAIMABLE_FROM and own.reason != CLAIMED_BY_OTHER:
        raise HubRefused(
            409,
            "not_waiting",
            f"delivery {own.id} is {own.state}",
            delivery_ids=(own.id,),
        )
    return await _grant(tx, claim, own, changes)


async def _grant(tx: Transaction, claim: ClaimRow, own: Delivery, changes: Changes) -> ClaimRow:
    granted = replace(
        claim,
        state=ClaimState.HELD,
        token=claim.token + 1,
        agent_id=own.agent_id,
        claimed_ms=changes.now_ms,
        until_ms=changes.now_ms + changes.limits.claim_lease_ms,
    )
    await tx.put_claim(granted)
    if own.state is DeliveryState.SKIPPED and own.reason == CLAIMED_BY_OTHER:
        own = await apply(tx, own, ClaimReopened(), changes)
        changes.mail.pop(own.agent_id, None)
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
    claim = await _held_claim(tx, message_id, request)
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
    if claim.state is state and claim.agent_id == request.agent_id:
        return claim
    claim = await _held_claim(tx, message_id, request)
    ended = replace(claim, state=state, token=claim.token + 1, until_ms=None, result=request.result)
    await tx.put_claim(ended)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is not None and own.state is DeliveryState.LEASED:
        own = await apply(tx, own, MarkedRead(), changes)
    elif own is not None:
        await tell_sender(tx, own, changes)
    return ended


async def end_answered(tx: Transaction, message_id: MessageId, agent_id: AgentId) -> None:
    """End the work of a request as done: its holder has answered it."""
    claim = await tx.claim(message_id)
    if claim is not None and claim.state is ClaimState.HELD and claim.agent_id == agent_id:
        done = replace(claim, state=ClaimState.DONE, token=claim.token + 1, until_ms=None)
        await tx.put_claim(done)


async def release(
    tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
) -> ClaimRow:
    """Offer the work to the others; the one that gave it back is not asked again."""
    claim = await _held_claim(tx, message_id, request)
    opened = _opened(claim)
    await tx.put_claim(opened)
    own = await tx.delivery_for(message_id, request.agent_id)
    if own is not None and own.state is DeliveryState.LEASED:
        await apply(tx, own, Skipped(reason="released"), changes)
    elif own is not None:
        await tell_sender(tx, own, changes)
    await _offer_again(tx, message_id, request.agent_id, changes)
    return opened


async def lapse(tx: Transaction, message_id: MessageId, changes: Changes) -> None:
    """End a lease that nobody renewed: offer the work again, or bury it after too many."""
    claim = await tx.claim(message_id)
    if claim is None or claim.state is not ClaimState.HELD or claim.agent_id is None:
        return
    if claim.until_ms is None or claim.until_ms > changes.now_ms:
        return
    own = await tx.delivery_for(message_id, claim.agent_id)
    if own is not None and own.state is DeliveryState.DELIVERED and own.reason == "read":
        done = replace(claim, state=ClaimState.DONE, token=claim.token + 1, until_ms=None)
        await tx.put_claim(done)
        return
    lapses = claim.lapses + 1
    if lapses >= changes.limits.claim_lapses:
        dead = replace(_opened(claim), state=ClaimState.DEAD, lapses=lapses)
        await tx.put_claim(dead)
        for each in await tx.deliveries_of(message_id):
            await apply_where_allowed(tx, each, ClaimExhausted(), changes)
        if own is not None:
            await tell_sender(tx, own, changes)
        return
    await tx.put_claim(replace(_opened(claim), lapses=lapses))
    if own is not None and own.state is DeliveryState.LEASED:
        await apply(tx, own, ClaimReopened(), changes)
    if own is not None:
        await tell_sender(tx, own, changes)
    await _offer_again(tx, message_id, claim.agent_id, changes)


async def settle(tx: Transaction, changes: Changes) -> None:
    """Reopen the claims that deliveries gave up in this transaction."""
    while changes.reopened:
        delivery = changes.reopened.pop()
        claim = await tx.claim(delivery.message_id)
        if claim is None or claim.state is not ClaimState.HELD:
            continue
        if claim.agent_id == delivery.agent_id:
            await tx.put_claim(_opened(claim))
            await _offer_again(tx, delivery.message_id, delivery.agent_id, changes)


async def resume(tx: Transaction, delivery: Delivery, changes: Changes) -> None:
    """Set a delivery right that came back from doubt: its claim may have gone meanwhile."""
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
    if claim is None:
        return True
    return claim.state is ClaimState.HELD and claim.agent_id == delivery.agent_id


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


async def _claim(tx: Transaction, message_id: MessageId, request: ClaimRequest) -> ClaimRow:
    agent = await tx.agent(request.agent_id)
    checks.fence(agent, request.agent_id, request.instance_id, request.epoch, required=True)
    claim = await tx.claim(message_id)
    if claim is not None:
        return claim
    if await tx.message(message_id) is None:
        raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
    raise checks.refuse("not_claimable", f"message {message_id} is not claimable", status=400)


async def _held_claim(tx: Transaction, message_id: MessageId, request: ClaimRequest) -> ClaimRow:
    claim = await _claim(tx, message_id, request)
    held = claim.state is ClaimState.HELD and claim.agent_id == request.agent_id
    if not held or request.token not in (None, claim.token):
        raise HubRefused(
            409,
            "stale_claim",
            f"{request.agent_id} does not hold the claim on message {message_id} (any more)",
        )
    return claim


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
