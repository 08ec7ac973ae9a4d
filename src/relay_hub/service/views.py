"""What a caller may see of a message."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from relay_core.delivery import FINAL
from relay_core.hub_api import MessageView
from relay_core.messages import NEEDS_YES, OPERATOR, Delivery, DeliveryState, Message
from relay_hub.callers import Caller
from relay_hub.service import requests
from relay_hub.service.presence import Presence
from relay_hub.store import Reads

M = TypeVar("M", bound=Message)


# What ends without a yes was never let through: it is read by its recipient no more than before.
_ENDED_UNREAD = frozenset(
    {DeliveryState.SKIPPED, DeliveryState.EXPIRED, DeliveryState.CANCELLED, DeliveryState.DEAD}
)


async def view_for(reads: Reads, view: MessageView, caller: Caller) -> MessageView | None:
    """The whole for the user and the sender, a recipient's own part for the recipient."""
    if caller.may_act_as(view.from_):
        return view
    own = await _own(reads, view.deliveries, caller)
    return replace(view, deliveries=own) if own else None


async def may_see(
    reads: Reads, message: Message, deliveries: tuple[Delivery, ...], caller: Caller
) -> bool:
    """Tell whether a caller may see a message at all: the user, its sender, its recipients."""
    return caller.may_act_as(message.from_) or bool(await _own(reads, deliveries, caller))


async def _own(
    reads: Reads, deliveries: tuple[Delivery, ...], caller: Caller
) -> tuple[Delivery, ...]:
    own = [each for each in deliveries if each.agent_id == caller.agent_id]
    return tuple([each for each in own if await may_read(reads, each, caller)])


def waits_for_a_yes(delivery: Delivery) -> bool:
    """Tell whether a delivery is held until a human says yes."""
    return delivery.state is DeliveryState.HELD and delivery.reason == NEEDS_YES


async def may_read(reads: Reads, delivery: Delivery, caller: Caller) -> bool:
    """Tell whether a caller may read what a delivery brings: no agent what waits for a yes, or
    ended without one."""
    if caller.agent_id is None:
        return True
    if delivery.state in _ENDED_UNREAD:
        return not await reads.is_withheld(delivery.id)
    return not waits_for_a_yes(delivery)


async def seen_by(
    reads: Reads, message: Message, presence: Presence, caller: Caller
) -> MessageView | None:
    """Look up where a message stands, as far as the caller may see it; None where it may not.

    A recipient reads the text that is for it.
    """
    view = await view_for(reads, await whole(reads, message, presence), caller)
    if view is None:
        return None
    return await as_read(reads, view, view.deliveries[-1] if view.deliveries else None, caller)


async def as_read(reads: Reads, message: M, delivery: Delivery | None, caller: Caller) -> M:
    """Show a message with the text that its reader gets: the user and the sender the original."""
    if delivery is None or not delivery.edited or caller.may_act_as(message.from_):
        return message
    body = await reads.edited_body(delivery.id)
    return message if body is None else replace(message, body=body, edited_by=OPERATOR)


async def whole(reads: Reads, message: Message, presence: Presence) -> MessageView:
    """A message with where its deliveries, and its work, stand."""
    deliveries = [
        await _with_presence(reads, each, presence)
        for each in await requests.answered(reads, message)
    ]
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    claim = await reads.claim(message.id) if message.claimable else None
    return MessageView(
        **fields, deliveries=tuple(deliveries), claim=None if claim is None else claim.state
    )


async def _with_presence(reads: Reads, delivery: Delivery, presence: Presence) -> Delivery:
    if delivery.state in FINAL:
        return delivery
    agent = await reads.agent(delivery.agent_id)
    return delivery if agent is None else replace(delivery, away=not presence.is_reachable(agent))
