"""What an agent says about a message by something that it did: the hub makes a message of it."""

# Rule: it is the agent's own word, whoever's token reports it: it never passes for the user's, and
#       the limits of agents hold for it.

from __future__ import annotations

import msgspec

from relay_core.errors import HubRefused
from relay_core.messages import AgentId, Credential, Message, MessageId
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.service import answering, guard, posting, sending
from relay_hub.service.changes import Changes
from relay_hub.service.guard import GuardStopped
from relay_hub.store import Transaction


async def say(
    tx: Transaction,
    about: Message,
    agent_id: AgentId,
    text: str,
    changes: Changes,
    *,
    kind: str,
    meta: msgspec.Raw,
) -> MessageId:
    """Send an agent's word about a message to its sender; it may be the answer to a request.

    409 `sender_gone`, 413 `body_too_large`, 429 `loop_guard`, `rate_limited` or `recipient_full`;
    nothing is stored then.
    """
    agent, asker = await tx.agent(agent_id), await tx.agent(about.from_)
    if agent is None or asker is None:
        raise HubRefused(409, "sender_gone", f"{about.from_} is not registered")
    sending.check_body(text, changes.limits)
    word = _word(about, agent, text, changes, kind=kind, meta=meta)
    try:
        await sending.check_rates(tx, word, changes.limits, changes.now_ms)
    except GuardStopped as stopped:
        # What it is said with is kept all the same, and so is the mark.
        await guard.note(tx, stopped.stop, changes)
        raise
    if not await posting.has_room(tx, asker, changes.limits):
        raise sending.full(asker.id, changes.limits)
    delivery = await posting.post(tx, word, asker, changes)
    await answering.note_reply(tx, about, agent.id, delivery.message_id, changes)
    return delivery.message_id


def _word(
    about: Message, agent: Agent, text: str, changes: Changes, *, kind: str, meta: msgspec.Raw
) -> Message:
    as_agent = Caller(credential=Credential.AGENT, agent_id=agent.id)
    return Message(
        id=MessageId(0),
        from_=agent.id,
        to=about.from_,
        body=text,
        sender=posting.seen(agent.id, agent, as_agent),
        created_at=changes.now_ms,
        reply_to=about.id,
        type=kind,
        meta=meta,
        conversation_id=about.conversation_id,
        hop=about.hop + 1,
        expires_at=changes.now_ms + changes.limits.ttl_ms,
    )
