"""What came of claimable work: the one who asked for it is told, by the one who did it."""

# Rule: the work ends whether or not the result may be sent. What the limits refuse stays with the
#       claim, which says why.

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from relay_core.errors import HubRefused
from relay_core.hub_api import ClaimRequest
from relay_core.messages import RESULT, ClaimState, MessageId
from relay_hub.service import claims, saying
from relay_hub.service.changes import Changes
from relay_hub.store import Transaction
from relay_hub.store.rows import ClaimRow

STORAGE = "storage"
"""Why nothing is sent while the store has no room."""

_META = {
    ClaimState.DONE: msgspec.Raw(b'{"state":"done"}'),
    ClaimState.FAILED: msgspec.Raw(b'{"state":"failed"}'),
}


async def end(
    tx: Transaction,
    message_id: MessageId,
    request: ClaimRequest,
    state: ClaimState,
    changes: Changes,
    *,
    has_room: bool,
) -> ClaimRow:
    """End the work, and send its sender the result where there is one; again sends nothing."""
    ended = await claims.end(tx, message_id, request, state, changes)
    if ended.result is None or ended.result_id is not None or ended.not_sent is not None:
        return ended
    told = await _tell(tx, ended, request, changes) if has_room else _untold(ended, STORAGE)
    await tx.put_claim(told)
    return told


async def _tell(
    tx: Transaction, claim: ClaimRow, request: ClaimRequest, changes: Changes
) -> ClaimRow:
    task = await tx.message(claim.message_id)
    if task is None:
        return claim
    text, meta = claim.result or "", _META[claim.state]
    try:
        sent = await saying.say(tx, task, request.agent_id, text, changes, kind=RESULT, meta=meta)
    except HubRefused as refused:  # the work has ended all the same, and the claim says why
        return _untold(claim, refused.code)
    return replace(claim, result_id=sent)


def _untold(claim: ClaimRow, why: str) -> ClaimRow:
    return replace(claim, not_sent=why)
