"""Pairs: two agents that talk to each other alone, from the invitation to the end."""

# Rule 1: an agent has one seat: in one pair that is pending or active. The store's constraint
#         decides a race of two invitations; the loser leaves nothing.
# Rule 2: pending -> active -> ended, or pending -> ended. What ended stays as it ended.
# Rule 3: whoever waits is told: the inviter of the answer, or that none came; the partner of the
#         end. An invitation that is void before it was on its way is taken out of the mail, and
#         then the invitee hears nothing.
# Rule 4: every message of a pair bears its id, is for the partner alone, and belongs to the
#         invitation's conversation. Answers in it are not counted as hops: both have agreed.

from __future__ import annotations

from msgspec.structs import replace

from relay_core.errors import HubRefused
from relay_core.hub_api import Pair, PairAnswer, PairMessageRequest
from relay_core.messages import (
    OPERATOR,
    AgentId,
    Credential,
    Delivery,
    PairId,
    PairState,
    Struct,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.service import checks, pair_mail, posting, sending, targets
from relay_hub.service.changes import Changes
from relay_hub.service.pair_mail import Actor, End
from relay_hub.store import Reads, Transaction


class Invitation(Struct):
    """A checked request for a pair, with the id that it will have."""

    id: PairId
    inviter: AgentId
    target: str
    objective: str | None = None
    instance_id: str | None = None
    epoch: int | None = None


async def invite(tx: Transaction, wanted: Invitation, caller: Caller, changes: Changes) -> Pair:
    """Store an invitation and put it into the other agent's mail.

    409 `pair_busy` when either of the two has a pair already.
    """
    inviter = await _registered(tx, wanted.inviter, wanted.instance_id, wanted.epoch)
    invitee = await targets.resolve_one(tx, wanted.target, inviter.id)
    limits, now = changes.limits, changes.now_ms
    pair = Pair(
        id=wanted.id,
        inviter=inviter.id,
        invitee=invitee.id,
        state=PairState.PENDING,
        created_at=now,
        updated_at=now,
        objective=wanted.objective,
        expires_at=now + limits.pair_invite_ms,
    )
    await tx.put_pair(pair)
    for agent in (inviter, invitee):
        if not await tx.take_seat(agent.id, pair.id):
            raise await _busy(tx, agent.id, inviter.id)
    if not await posting.has_room(tx, invitee, limits):
        raise sending.full(invitee.id, limits)
    message = pair_mail.invitation(pair, posting.seen(inviter.id, inviter, caller), changes)
    if caller.credential is Credential.AGENT:
        await sending.check_rates(tx, message, limits, now)
    await posting.post(tx, message, invitee, changes)
    return pair


async def _busy(tx: Transaction, agent_id: AgentId, inviter: AgentId) -> HubRefused:
    former = await tx.pair_of(agent_id)
    if former is None:  # it was freed meanwhile, in a store where that can happen
        return HubRefused(409, "pair_busy", f"{agent_id} is in another pair", retry_after_s=1)
    state = "is in a pair with" if former.state is PairState.ACTIVE else "has an invitation with"
    detail = f"{agent_id} {state} {partner_of(former, agent_id)}"
    if agent_id == inviter:
        return HubRefused(
            409, "pair_busy", detail, fix=f"end that one: agent-relay pair hangup {former.id}"
        )
    return HubRefused(
        409, "pair_busy", detail, fix="wait until it is free, or write without a pair"
    )


async def accept(
    tx: Transaction, pair_id: PairId, answer: PairAnswer, caller: Caller, changes: Changes
) -> Pair:
    """Make a pending pair active; again is harmless. 409 `pair_ended` when it is too late."""
    pair, actor = await _answered(tx, pair_id, answer, caller)
    if pair.state is PairState.ACTIVE:
        return pair
    if pair.state is PairState.ENDED or _is_over(pair, changes.now_ms):
        raise ended(pair)
    active = replace(pair, state=PairState.ACTIVE, updated_at=changes.now_ms, expires_at=None)
    await tx.put_pair(active)
    await pair_mail.tell(tx, active, pair.inviter, Actor(id=actor, caller=caller), changes)
    return active


async def reject(
    tx: Transaction, pair_id: PairId, answer: PairAnswer, caller: Caller, changes: Changes
) -> Pair:
    """End a pending pair; again is harmless. 409 `pair_active` when it has begun."""
    pair, actor = await _answered(tx, pair_id, answer, caller)
    if pair.state is PairState.ACTIVE:
        raise HubRefused(
            409,
            "pair_active",
            f"{pair.id} was accepted already",
            fix=f"end it with: agent-relay pair hangup {pair.id}",
        )
    if pair.state is PairState.ENDED and pair.reason == End.REJECTED:
        return pair
    if pair.state is PairState.ENDED:
        raise ended(pair)
    return await _end(tx, pair, End.REJECTED, Actor(id=actor, caller=caller), changes)


async def say(
    tx: Transaction,
    pair_id: PairId,
    request: PairMessageRequest,
    caller: Caller,
    changes: Changes,
) -> Delivery:
    """Bring what one of the two says to the other; 409 `pair_pending` or `pair_ended`."""
    pair = await member(tx, pair_id, caller)
    speaker = caller.agent_id if request.from_ is None else request.from_
    if speaker is None:
        raise checks.refuse("no_sender", "from is needed: which of the two says it?")
    sender = await _acts_in(tx, pair, speaker, request, caller)
    if pair.state is PairState.ENDED:
        raise ended(pair)
    if pair.state is PairState.PENDING:
        raise HubRefused(409, "pair_pending", f"{pair.invitee} has not accepted {pair.id} yet")
    if request.reply_to is not None:
        parent = await tx.message(request.reply_to)
        if parent is None or parent.pair_id != pair.id:
            raise checks.refuse("unknown_reply_to", f"{pair.id} has no message {request.reply_to}")
    partner = await tx.agent(partner_of(pair, speaker))
    if partner is None:
        raise ended(pair)
    if not await posting.has_room(tx, partner, changes.limits):
        raise sending.full(partner.id, changes.limits)
    seen = posting.seen(speaker, sender, caller)
    message = await pair_mail.in_conversation(
        tx, pair_mail.said(pair, partner.id, request, seen, changes)
    )
    if caller.credential is Credential.AGENT:
        await sending.check_rates(tx, message, changes.limits, changes.now_ms)
    return await posting.post(tx, message, partner, changes)


async def hang_up(
    tx: Transaction, pair_id: PairId, answer: PairAnswer, caller: Caller, changes: Changes
) -> Pair:
    """End a pair, or take an invitation back; again is harmless.

    From the invitee of a pending pair it is a rejection.
    """
    pair = await member(tx, pair_id, caller)
    actor = _first(answer.agent_id, answer.from_, caller.agent_id, OPERATOR)
    if actor == OPERATOR:
        caller.must_act_as(actor)
    else:
        await _acts_in(tx, pair, actor, answer, caller)
    if pair.state is PairState.ENDED:
        return pair
    if pair.state is PairState.ACTIVE:
        return await _end(tx, pair, End.HUNG_UP, Actor(id=actor, caller=caller), changes)
    reason = End.REJECTED if actor == pair.invitee else End.WITHDRAWN
    return await _end(tx, pair, reason, Actor(id=actor, caller=caller), changes)


async def expire(tx: Transaction, pair: Pair, changes: Changes) -> None:
    """End an invitation that nobody has answered."""
    await _end(tx, pair, End.EXPIRED, Actor(), changes)


async def leave(tx: Transaction, agent_id: AgentId, caller: Caller, changes: Changes) -> None:
    """End the pair of an agent that is being removed, if it has one."""
    pair = await tx.pair_of(agent_id)
    if pair is not None:
        await _end(tx, pair, End.AGENT_GONE, Actor(id=agent_id, caller=caller), changes)


async def _end(
    tx: Transaction,
    pair: Pair,
    reason: End,
    actor: Actor,
    changes: Changes,
) -> Pair:
    over = replace(
        pair,
        state=PairState.ENDED,
        reason=reason,
        ended_by=actor.id,
        updated_at=changes.now_ms,
        expires_at=None,
    )
    await tx.put_pair(over)
    await tx.free_seats(over)
    told = {over.inviter, over.invitee} - {actor.id}
    if pair.state is PairState.PENDING and await pair_mail.take_back(tx, over, changes):
        told.discard(over.invitee)
    if reason is End.EXPIRED:
        told.discard(over.invitee)  # it was its own to answer
    for each in sorted(told):
        await pair_mail.tell(tx, over, each, actor, changes)
    return over


async def _answered(
    tx: Transaction, pair_id: PairId, answer: PairAnswer, caller: Caller
) -> tuple[Pair, AgentId]:
    pair = await member(tx, pair_id, caller)
    actor = _first(answer.agent_id, answer.from_, caller.agent_id, pair.invitee)
    await _acts_in(tx, pair, actor, answer, caller)
    if actor != pair.invitee:
        raise HubRefused(403, "not_invited", f"{pair.id} is {pair.invitee}'s to answer")
    return pair, actor


async def member(tx: Reads, pair_id: PairId, caller: Caller) -> Pair:
    """Look up a pair that a caller may do something in; 404 `unknown_pair`, 403 `not_in_pair`."""
    pair = await tx.pair(pair_id)
    if pair is None:
        raise unknown(pair_id)
    if not any(map(caller.may_act_as, (pair.inviter, pair.invitee))):
        raise HubRefused(403, "not_in_pair", f"{caller.agent_id} is not in {pair.id}")
    return pair


async def _acts_in(
    tx: Reads,
    pair: Pair,
    actor: AgentId,
    fence: PairAnswer | PairMessageRequest,
    caller: Caller,
) -> Agent:
    caller.must_act_as(actor)
    if actor not in (pair.inviter, pair.invitee):
        raise HubRefused(403, "not_in_pair", f"{actor!a} is not in {pair.id}")
    return await _registered(tx, actor, fence.instance_id, fence.epoch)


async def _registered(
    tx: Reads, agent_id: AgentId, instance_id: str | None, epoch: int | None
) -> Agent:
    agent = await tx.agent(agent_id)
    return checks.fence(agent, agent_id, instance_id, epoch, required=False)


def _first(*names: AgentId | None) -> AgentId:
    return next(name for name in names if name is not None)


def partner_of(pair: Pair, agent_id: AgentId) -> AgentId:
    """The other one."""
    return pair.invitee if agent_id == pair.inviter else pair.inviter


def unknown(pair_id: str) -> HubRefused:
    """404 `unknown_pair`."""
    return checks.refuse("unknown_pair", f"there is no pair {pair_id[:64]!a}", status=404)


def ended(pair: Pair) -> HubRefused:
    """409 `pair_ended`."""
    why = f" ({pair.reason})" if pair.reason else " (expired)"
    return HubRefused(409, "pair_ended", f"{pair.id} has ended{why}", fix="invite again to go on")


def _is_over(pair: Pair, now_ms: int) -> bool:
    # The sweep ends it within a second; nobody gets in between.
    return pair.expires_at is not None and pair.expires_at <= now_ms
