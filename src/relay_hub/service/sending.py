"""Taking in a message: who it is from, whom it is for, and whether it may be sent."""

from __future__ import annotations

from collections.abc import Callable

from relay_core.errors import HubRefused
from relay_core.hub_api import SendRequest, SendResponse, SentDelivery
from relay_core.messages import (
    ACK,
    OPERATOR,
    ClaimState,
    Credential,
    Message,
    MessageId,
    Sender,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import MINUTE, Limits
from relay_hub.service import answering, checks, guard, posting, targets
from relay_hub.service.changes import Changes
from relay_hub.store import Transaction
from relay_hub.store.rows import ClaimRow

_RETRY_FULL_S = 60


def check(request: SendRequest, caller: Caller, limits: Limits) -> SendRequest:
    """Check all that can be checked without looking at anything else."""
    # One that is empty is a mistake, and never the operator.
    sender = (caller.agent_id or OPERATOR) if request.from_ is None else request.from_
    if not caller.may_act_as(sender):
        raise HubRefused(403, "foreign_sender", f"this token sends as {caller.agent_id} only")
    if sender != OPERATOR:
        checks.new_agent_id(sender)
    check_body(request.body, limits)
    if request.type == ACK and (request.claimable or request.urgent):
        raise checks.refuse(
            "bad_ack", "a confirmation starts no turn: it is neither work nor urgent"
        )
    if request.ttl_ms is not None:
        checks.within("ttlMs", request.ttl_ms, limits.ttl_least_ms, limits.ttl_most_ms)
    return SendRequest(
        to=request.to,
        body=request.body,
        from_=sender,
        channel=checks.line("channel", request.channel),
        subject=checks.line("subject", request.subject),
        reply_to=request.reply_to,
        claimable=request.claimable,
        urgent=request.urgent,
        type=checks.line("type", request.type),
        ttl_ms=request.ttl_ms,
        instance_id=request.instance_id,
        epoch=request.epoch,
        meta=checks.json_object("meta", request.meta, limits),
    )


def check_body(body: str, limits: Limits) -> None:
    """Refuse with 413 `body_too_large`."""
    size = len(checks.whole("body", body))
    if size > limits.body_bytes:
        raise checks.refuse(
            "body_too_large",
            f"the body has {size} bytes, {limits.body_bytes} are allowed",
            status=413,
            fix="write it to a file and send its path",
        )


async def send(
    tx: Transaction,
    request: SendRequest,
    caller: Caller,
    changes: Changes,
    reachable: Callable[[Agent], bool],
) -> SendResponse:
    """Store a checked message and a delivery for each recipient."""
    limits, now = changes.limits, changes.now_ms
    sender_id = request.from_ or OPERATOR
    sender = None if sender_id == OPERATOR else await tx.agent(sender_id)
    if request.epoch is not None:
        checks.fence(sender, sender_id, request.instance_id, request.epoch, required=True)
    parent = await _parent(tx, request.reply_to, caller)
    message = _message(request, posting.seen(sender_id, sender, caller), parent, changes)
    if caller.credential is Credential.AGENT:
        await check_rates(tx, message, limits, now)
    recipients, direct = await targets.resolve(tx, request.to, sender_id, limits.fan_out)
    room = [await posting.has_room(tx, each, limits) for each in recipients]
    if not any(room):
        raise full(recipients[0].id if direct else "every recipient", limits)
    message_id = await tx.add_message(message)
    await guard.note_word(tx, message, changes)
    if request.claimable:
        claim = ClaimRow(message_id=message_id, state=ClaimState.OPEN, token=0, since_ms=now)
        await tx.put_claim(claim)
    sent: list[SentDelivery] = []
    for agent, fits in zip(recipients, room, strict=True):
        delivery = await posting.add(tx, message_id, agent, message, changes, fits=fits)
        sent.append(posting.sent(delivery, away=not reachable(agent)))
    asked = parent if request.type != ACK else None
    if asked is not None and any(agent.id == asked.from_ for agent in recipients):
        await answering.note_reply(tx, asked, sender_id, message_id, changes)
    return SendResponse(id=message_id, deliveries=tuple(sent))


def _message(
    request: SendRequest,
    sender: Sender,
    parent: Message | None,
    changes: Changes,
) -> Message:
    # A word of the operator's starts the count anew: somebody is looking.
    hop = 0 if parent is None or sender.id == OPERATOR else parent.hop + 1
    return Message(
        id=MessageId(0),
        from_=sender.id,
        to=request.to,
        body=request.body,
        sender=sender,
        created_at=changes.now_ms,
        channel=request.channel,
        subject=request.subject,
        reply_to=request.reply_to,
        claimable=request.claimable,
        urgent=request.urgent,
        type=request.type,
        meta=request.meta,
        conversation_id=None if parent is None else parent.conversation_id,
        hop=hop,
        expires_at=changes.now_ms + (request.ttl_ms or changes.limits.ttl_ms),
    )


def full(who: str, limits: Limits) -> HubRefused:
    """429 `recipient_full`."""
    return HubRefused(
        429,
        posting.RECIPIENT_FULL,
        f"{who} has {limits.recipient_queue} messages waiting",
        retry_after_s=_RETRY_FULL_S,
    )


async def _parent(tx: Transaction, reply_to: MessageId | None, caller: Caller) -> Message | None:
    if reply_to is None:
        return None
    parent = await tx.message(reply_to)
    if parent is None or not await _may_answer(tx, parent, caller):
        raise checks.refuse("unknown_reply_to", f"there is no message {reply_to} to reply to")
    return parent


async def _may_answer(tx: Transaction, parent: Message, caller: Caller) -> bool:
    # An agent answers what was said to it, or goes on from what it said.
    if caller.agent_id is None or caller.agent_id == parent.from_:
        return True
    return await tx.delivery_for(parent.id, caller.agent_id) is not None


async def check_rates(tx: Transaction, message: Message, limits: Limits, now: int) -> None:
    """Refuse with 429 `loop_guard` or `rate_limited` what an agent sends too often."""
    sent = await tx.sent_since(message.from_, now - MINUTE)
    if sent.count >= limits.sends_per_minute:
        raise HubRefused(
            429,
            "rate_limited",
            f"{message.from_} has sent {sent.count} messages within a minute",
            retry_after_s=guard.seconds_left(sent.first_ms, MINUTE, now),
        )
    await guard.check_conversation(tx, message, limits, now)
