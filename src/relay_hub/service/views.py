"""What a caller may see of a message."""

from __future__ import annotations

from relay_core.hub_api import MessageView
from relay_core.messages import Delivery, Message
from relay_hub.callers import Caller


def view_for(
    message: Message, deliveries: tuple[Delivery, ...], caller: Caller
) -> MessageView | None:
    """The whole for the user and the sender, a recipient's own part for the recipient."""
    if caller.may_act_as(message.from_):
        return joined(message, deliveries)
    own = tuple(each for each in deliveries if each.agent_id == caller.agent_id)
    return joined(message, own) if own else None


def joined(message: Message, deliveries: tuple[Delivery, ...]) -> MessageView:
    """A message with where its deliveries stand."""
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    return MessageView(**fields, deliveries=deliveries)
