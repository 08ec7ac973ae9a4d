"""The messages of a pair: the invitation, what the two say, and what they are told of it."""

from __future__ import annotations

import enum

import msgspec

from relay_core.delivery import CancelRequested
from relay_core.hub_api import Pair, PairMessageRequest
from relay_core.messages import (
    AgentId,
    DeliveryState,
    Message,
    MessageId,
    PairEvent,
    Sender,
    Struct,
)
from relay_hub.callers import Caller
from relay_hub.limits import MINUTE, SECOND
from relay_hub.service import notices, posting
from relay_hub.service.changes import Changes, apply_where_allowed
from relay_hub.store import Transaction

_NEVER_SEEN = frozenset({DeliveryState.CANCELLED, DeliveryState.EXPIRED, DeliveryState.DEAD})


class End(enum.StrEnum):
    """Why a pair ended."""

    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    HUNG_UP = "hung_up"
    AGENT_GONE = "agent_gone"


class Actor(Struct):
    """Who did something to a pair, and with what token; time has neither."""

    id: AgentId | None = None
    caller: Caller | None = None


class PairMeta(Struct, omit_defaults=True):
    """What stands in the `meta` of a pair's message: `pairId`, and what programs may want."""

    pair_id: str
    objective: str | None = None
    reason: str | None = None
    expires_at: int | None = None


def invitation(pair: Pair, sender: Sender, changes: Changes) -> Message:
    """Write what the invitee gets; it is taken out of the mail when nobody has answered in time."""
    about = f": {pair.objective}" if pair.objective else "."
    body = (
        f"{pair.inviter} invites you to a pair, to work on one thing together{about}\n"
        f"Accept or reject {pair.id} within {_span(changes.limits.pair_invite_ms)}."
    )
    return _message(
        pair,
        pair.invitee,
        changes,
        kind=PairEvent.INVITE,
        sender=sender,
        body=body,
        subject="Invitation to a pair",
        expires_at=pair.expires_at,
    )


def said(
    pair: Pair, to: AgentId, request: PairMessageRequest, sender: Sender, changes: Changes
) -> Message:
    """Write what one says to the other."""
    return _message(
        pair,
        to,
        changes,
        kind=PairEvent.MESSAGE,
        sender=sender,
        body=request.body,
        subject=request.subject,
        reply_to=request.reply_to,
        urgent=request.urgent,
    )


async def tell(tx: Transaction, pair: Pair, to: AgentId, actor: Actor, changes: Changes) -> None:
    """Tell one of the two what has become of their pair.

    It is said by whoever did it; what time did, or the removal of an agent, by the hub.
    """
    agent = await tx.agent(to)
    if agent is None:
        return
    sender = notices.HUB_SENDER
    if actor.id is not None and actor.caller is not None and pair.reason != End.AGENT_GONE:
        sender = posting.seen(actor.id, await tx.agent(actor.id), actor.caller)
    kind, subject, body = _words(pair, actor.id)
    message = _message(pair, to, changes, kind=kind, sender=sender, body=body, subject=subject)
    await posting.post(tx, await in_conversation(tx, message), agent, changes)


def _words(pair: Pair, actor: AgentId | None) -> tuple[PairEvent, str, str]:
    match pair.reason:
        case None:
            body = f"{actor} accepted: {pair.id} has begun."
            return PairEvent.ACCEPTED, "Pair accepted", body
        case End.REJECTED:
            return PairEvent.REJECTED, "Pair rejected", f"{actor} rejected {pair.id}."
        case End.WITHDRAWN:
            body = f"{actor} took the invitation {pair.id} back. Nothing needs an answer."
            return PairEvent.ENDED, "Invitation taken back", body
        case End.EXPIRED:
            body = f"{pair.invitee} did not answer the invitation {pair.id} in time."
            return PairEvent.ENDED, "Invitation expired", body
        case End.AGENT_GONE:
            body = f"{actor} is not registered any more, so {pair.id} has ended."
            return PairEvent.ENDED, "Pair ended", body
        case _:
            body = f"{actor} hung up: {pair.id} has ended. Nothing needs an answer."
            return PairEvent.ENDED, "Pair ended", body


async def take_back(tx: Transaction, pair: Pair, changes: Changes) -> bool:
    """Take a void invitation out of the mail; answers whether the invitee never saw it."""
    message = await tx.pair_message(pair.id, PairEvent.INVITE)
    delivery = None if message is None else await tx.delivery_for(message.id, pair.invitee)
    if delivery is None:
        return True
    after = await apply_where_allowed(tx, delivery, CancelRequested(), changes)
    return after.state in _NEVER_SEEN


async def in_conversation(tx: Transaction, message: Message) -> Message:
    """Put a pair's message into the conversation that the invitation began."""
    last = None if message.pair_id is None else await tx.pair_message(message.pair_id)
    if last is None:  # after a long silence all that was said is forgotten
        return message
    return msgspec.structs.replace(message, conversation_id=last.conversation_id)


def _message(
    pair: Pair,
    to: AgentId,
    changes: Changes,
    *,
    kind: PairEvent,
    sender: Sender,
    body: str,
    subject: str | None = None,
    reply_to: MessageId | None = None,
    urgent: bool = False,
    expires_at: int | None = None,
) -> Message:
    meta = PairMeta(
        pair_id=pair.id,
        objective=pair.objective if kind is PairEvent.INVITE else None,
        reason=pair.reason,
        expires_at=pair.expires_at,
    )
    return Message(
        id=MessageId(0),
        from_=sender.id,
        to=to,
        body=body,
        sender=sender,
        created_at=changes.now_ms,
        subject=subject,
        reply_to=reply_to,
        urgent=urgent,
        type=kind,
        meta=msgspec.Raw(msgspec.json.encode(meta)),
        pair_id=pair.id,
        expires_at=expires_at or changes.now_ms + changes.limits.ttl_ms,
    )


def _span(duration_ms: int) -> str:
    if duration_ms >= MINUTE:
        return f"{duration_ms // MINUTE} min"
    return f"{max(1, duration_ms // SECOND)} s"
