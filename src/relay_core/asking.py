"""Asking sessions a question and waiting for what they answer, told by push."""

# Rule 1: a frame is a hint: the hub's view of the request decides, whatever was missed.
# Rule 2: waiting ends, the request stays: an answer that comes later is in the asker's mail. One
#         that is handed out here is read, and starts no turn of its asker's if it can be helped.

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay_core.errors import HubRefused, HubUnreachable
from relay_core.hub_api import ErrorFrame, MessageView, ReceiptFrame, SendRequest, WatchingFrame
from relay_core.messages import (
    OPERATOR,
    REQUEST,
    AgentId,
    AnswerState,
    Delivery,
    MessageId,
    RequestAnswer,
    Struct,
)

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Answered(Struct):
    """What one recipient has answered: `text` and `reply_id` once `state` is `answered`.

    `reason` says in one word why there is no answer.
    """

    agent_id: AgentId
    state: AnswerState
    reason: str | None = None
    reply_id: MessageId | None = None
    text: str | None = None


class Asked(Struct):
    """A request and where its answers stand; `complete` tells that every answer is there.

    Of a claimable request there is one.
    """

    id: MessageId
    complete: bool
    answers: tuple[Answered, ...]


async def ask(
    hub: HubClient, request: SendRequest, *, wait_s: float, idempotency_key: str | None = None
) -> Asked:
    """Send a request and wait for its answers, `wait_s` seconds at most.

    Returns at once when nobody is waited for any more, and what there is when the time is over.
    Raises what the hub refuses; a hub that restarts meanwhile is waited for.
    """
    asking = replace(request, type=REQUEST)
    sent = await hub.send(asking, idempotency_key=idempotency_key)
    return await wait_for_answers(hub, sent.id, wait_s=wait_s)


async def wait_for_answers(hub: HubClient, request_id: int, *, wait_s: float) -> Asked:
    """Wait for the answers to a request that was sent before; see `ask`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await _until_over(hub, request_id)
    return await _read(hub, await hub.message(request_id))


async def _until_over(hub: HubClient, request_id: int) -> None:
    pause = FIRST_PAUSE_S
    while True:
        with suppress(HubUnreachable):
            async with aclosing(_views(hub, request_id)) as views:
                async for view in views:
                    pause = FIRST_PAUSE_S
                    if _is_over(view):
                        return
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


async def _views(hub: HubClient, request_id: int) -> AsyncGenerator[MessageView]:
    """Yield the request as it stands now, and again after each change, over one connection."""
    asker = (await hub.message(request_id)).from_
    stream = await hub.open_stream()
    try:
        # What concerns the operator comes by itself; the watch says from when on all of it does.
        await stream.watch(() if asker == OPERATOR else (asker,))
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                match frame:
                    case WatchingFrame():
                        yield await hub.message(request_id)
                    case ReceiptFrame(message_id=changed) if changed == request_id:
                        yield await hub.message(request_id)
                    case ErrorFrame(code=code, detail=detail):
                        raise HubRefused(403, code, detail)
                    case _:
                        pass
    finally:
        await stream.close()


def _is_over(view: MessageView) -> bool:
    states = {_answer_of(each).state for each in _recipients(view)}
    return AnswerState.WAITING not in states or (view.claimable and AnswerState.ANSWERED in states)


def _recipients(view: MessageView) -> tuple[Delivery, ...]:
    """One delivery for each recipient: the one that took a dead one's place."""
    return tuple(each for each in view.deliveries if each.retried_as is None)


def _answer_of(delivery: Delivery) -> RequestAnswer:
    return delivery.answer or RequestAnswer(state=AnswerState.WAITING)


async def _read(hub: HubClient, view: MessageView) -> Asked:
    answers = [await _answered(hub, view.from_, each) for each in _recipients(view)]
    there = [each.state is AnswerState.ANSWERED for each in answers]
    complete = any(there) if view.claimable else all(there)
    return Asked(id=view.id, complete=complete, answers=tuple(answers))


async def _answered(hub: HubClient, asker: AgentId, delivery: Delivery) -> Answered:
    answer, text = _answer_of(delivery), None
    if answer.reply_id is not None:
        text = (await hub.message(answer.reply_id)).body
        with suppress(HubRefused):  # it may be on its way into the asker's session already
            await hub.mark_read(answer.reply_id, asker)
    return Answered(
        agent_id=delivery.agent_id,
        state=answer.state,
        reason=answer.reason,
        reply_id=answer.reply_id,
        text=text,
    )
