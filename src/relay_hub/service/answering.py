"""What answers a request: the first message that a recipient sends back to who asked."""

from __future__ import annotations

from relay_core.messages import REQUEST, AgentId, Message, MessageId
from relay_hub.service import claims
from relay_hub.service.changes import Changes
from relay_hub.store import Transaction


async def note_reply(
    tx: Transaction, request: Message, agent_id: AgentId, reply_id: MessageId, changes: Changes
) -> None:
    """Take a stored reply for the answer, if it is the first of one who was asked."""
    if request.type != REQUEST:
        return
    asked = await tx.delivery_for(request.id, agent_id)
    if asked is None or not await tx.add_reply(request.id, agent_id, reply_id):
        return
    await claims.end_answered(tx, request.id, agent_id, changes)
    changes.receipts.append((request, asked))
