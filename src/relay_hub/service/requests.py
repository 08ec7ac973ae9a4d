"""Requests: messages whose sender waits for an answer, and turns that may be one."""

# Rule 1: the first message that a recipient sends back to who asked is its answer; see `answering`.
# Rule 2: else the last words of the turn are it, but only of a turn that this request began, that
#         held nothing else, and that completed. What else a session says may be meant for its user:
#         it is not stored, whoever sends it here.
# Rule 3: such an answer is the agent's own message, so the limits of agents hold for it. What they
#         refuse is no answer; the report of the turn is taken in all the same.
# Rule 4: that a turn was no answer is a fact to be looked up or heard of. It starts no turn, but
#         that the others are offered a claimable request which its holder's turn did not answer.

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from relay_core.errors import HubRefused
from relay_core.hub_api import TurnReport
from relay_core.messages import (
    REPLY,
    REQUEST,
    AnswerState,
    Delivery,
    DeliveryState,
    Message,
    MessageId,
    RequestAnswer,
    TurnStatus,
)
from relay_hub.service import claims, saying
from relay_hub.service.changes import Changes
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import AttemptRow

NOT_DELIVERED = frozenset(
    {DeliveryState.SKIPPED, DeliveryState.EXPIRED, DeliveryState.CANCELLED, DeliveryState.DEAD}
)
ON_ITS_WAY = frozenset({DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.HELD})

BY_FINAL_MESSAGE = msgspec.Raw(b'{"by":"final_message"}')


async def answered(reads: Reads, message: Message) -> tuple[Delivery, ...]:
    """The deliveries of a message; those of a request say what was answered."""
    deliveries = await reads.deliveries_of(message.id)
    if message.type != REQUEST:
        return deliveries
    replies = await reads.replies_to(message.id)
    return tuple(
        [
            replace(each, answer=await _answer(reads, each, replies.get(each.agent_id)))
            for each in deliveries
        ]
    )


async def answer(reads: Reads, delivery: Delivery) -> RequestAnswer:
    """Where the answer of one recipient of a request stands."""
    replies = await reads.replies_to(delivery.message_id)
    return await _answer(reads, delivery, replies.get(delivery.agent_id))


async def _answer(reads: Reads, delivery: Delivery, reply: MessageId | None) -> RequestAnswer:
    if reply is not None:
        return RequestAnswer(state=AnswerState.ANSWERED, reply_id=reply)
    if delivery.state in NOT_DELIVERED:
        return RequestAnswer(
            state=AnswerState.NOT_DELIVERED, reason=delivery.reason or str(delivery.state)
        )
    attempt = None
    if delivery.attempt_id is not None and delivery.state not in ON_ITS_WAY:
        attempt = await reads.attempt(delivery.attempt_id)
    if attempt is None or attempt.turn_status is None:
        return RequestAnswer(state=AnswerState.WAITING)
    return RequestAnswer(state=AnswerState.ENDED_WITHOUT_REPLY, reason=attempt.no_reply)


async def carried(reads: Reads, attempt: AttemptRow) -> Message | None:
    """The request that an attempt carries alone and that its agent has not answered yet."""
    if len(attempt.delivery_ids) != 1:
        return None
    delivery = await reads.delivery(attempt.delivery_ids[0])
    if delivery is None or delivery.attempt_id != attempt.id:
        return None
    message = await reads.message(delivery.message_id)
    if message is None or message.type != REQUEST:
        return None
    return None if attempt.agent_id in await reads.replies_to(message.id) else message


def why_no_answer(attempt: AttemptRow, report: TurnReport) -> str | None:
    """Say in one word why a turn's last words answer no request; None where they may."""
    if report.status is not TurnStatus.COMPLETED:
        return f"turn_{report.status}"
    if report.started_by != attempt.id:
        return "joined_a_turn"
    if len(attempt.delivery_ids) != 1 or report.shared:
        return "shared_its_turn"
    return None if (report.final_text or "").strip() else "no_final_message"


async def end_turn(
    tx: Transaction,
    attempt: AttemptRow,
    report: TurnReport,
    deliveries: Sequence[Delivery],
    changes: Changes,
) -> str | None:
    """Make an answer of a turn's last words where they are one; say why not where they are not."""
    if not deliveries:
        return None
    why = why_no_answer(attempt, report)
    request = await carried(tx, attempt)
    if request is None:
        return why
    if why is not None:
        await claims.give_back(tx, request.id, attempt.agent_id, changes)
        return why
    text, by = report.final_text or "", BY_FINAL_MESSAGE
    try:
        await saying.say(tx, request, attempt.agent_id, text, changes, kind=REPLY, meta=by)
    except HubRefused as refused:
        why = refused.code  # the others' answers would be refused as well
        await claims.end_answered(tx, request.id, attempt.agent_id, changes, not_sent=why)
    return why
