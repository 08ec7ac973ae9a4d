"""What a caller may see of a message."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from relay_core.hub_api import MessageView
from relay_core.messages import NEEDS_YES, OPERATOR, Delivery, DeliveryState, Message
from relay_hub.callers import Caller
from relay_hub.service import requests
from relay_hub.store import Reads

M = TypeVar("M", bound=Message)


def view_for(
    message: Message, deliveries: tuple[Delivery, ...], caller: Caller
) -> MessageView | None:
    """The whole for the user and the sender, a recipient's own part for the recipient."""
    if caller.may_act_as(message.from_):
        return joined(message, deliveries)
    own = tuple(
        each for each in deliveries if each.agent_id == caller.agent_id and may_read(each, caller)
    )
    return joined(message, own) if own else None


def may_read(delivery: Delivery, caller: Caller) -> bool:
    """Tell whether a caller may read what a delivery brings: no agent what waits for a yes."""
    needs_yes = delivery.state is DeliveryState.HELD and delivery.reason == NEEDS_YES
    return caller.agent_id is None or not needs_yes


async def seen_by(reads: Reads, message: Message, caller: Caller) -> MessageView | None:
    """Look up where a message stands, as far as the caller may see it; None where it may not.

    A recipient reads the text that is for it.
    """
    view = view_for(message, await requests.answered(reads, message), caller)
    if view is None:
        return None
    return await as_read(reads, view, view.deliveries[-1] if view.deliveries else None, caller)


async def as_read(reads: Reads, message: M, delivery: Delivery | None, caller: Caller) -> M:
    """Show a message with the text that its reader gets: the user and the sender the original."""
    if delivery is None or not delivery.edited or caller.may_act_as(message.from_):
        return message
    body = await reads.edited_body(delivery.id)
    return message if body is None else replace(message, body=body, edited_by=OPERATOR)


def joined(message: Message, deliveries: tuple[Delivery, ...]) -> MessageView:
    """A message with where its deliveries stand."""
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    return MessageView(**fields, deliveries=deliveries)
