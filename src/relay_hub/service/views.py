"""What a caller may see of a message."""

from __future__ import annotations

from msgspec.structs import replace

from relay_core.delivery import FINAL
from relay_core.hub_api import MessageView
from relay_core.messages import Delivery, Message
from relay_hub.callers import Caller
from relay_hub.service import requests
from relay_hub.service.presence import Presence
from relay_hub.store import Reads


def view_for(view: MessageView, caller: Caller) -> MessageView | None:
    """The whole for the user and the sender, a recipient's own part for the recipient."""
    if caller.may_act_as(view.from_):
        return view
    own = tuple(each for each in view.deliveries if each.agent_id == caller.agent_id)
    return replace(view, deliveries=own) if own else None


def may_see(message: Message, deliveries: tuple[Delivery, ...], caller: Caller) -> bool:
    """Tell whether a caller may see a message at all: the user, its sender, its recipients."""
    own = any(each.agent_id == caller.agent_id for each in deliveries)
    return own or caller.may_act_as(message.from_)


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
