"""What can be asked of the hub about messages."""

from __future__ import annotations

from relay_core.delivery import MarkedRead
from relay_core.errors import HubRefused
from relay_core.hub_api import Cancellation, MessageView, SendRequest, SendResponse
from relay_core.messages import AgentId, DeliveryState, Message, MessageId
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import cancelling, checks, sending
from relay_hub.service.changes import Changes, apply
from relay_hub.service.committer import Committer
from relay_hub.service.presence import Presence
from relay_hub.service.views import may_read, seen_by
from relay_hub.store import Reads, Transaction


class MessageCalls:
    """Sending, reading, and what became of what was sent."""

    def __init__(self, committer: Committer, presence: Presence, limits: Limits) -> None:
        self._committer = committer
        self._change = committer.change
        self._look = committer.look
        self._presence = presence
        self._limits = limits

    async def send(self, request: SendRequest, caller: Caller) -> SendResponse:
        """Take in a message: it is durable when this answers."""
        self._committer.must_have_room()
        checked = sending.check(request, caller, self._limits)
        return await self._change(
            lambda tx, changes: sending.send(
                tx, checked, caller, changes, self._presence.is_reachable
            ),
            SendResponse,
            caller,
        )

    async def one(self, message_id: MessageId, caller: Caller) -> MessageView:
        """Show a message and where its deliveries stand; to a recipient, its own."""

        return await self._look(lambda reads: self._shown(reads, message_id, caller))

    async def thread(
        self, message_id: MessageId, since: MessageId, most: int, caller: Caller
    ) -> tuple[MessageView, ...]:
        """Show a message's conversation as far as the caller may see it, oldest first.

        Up to `most` of its messages after `since`; those that the caller may not see count.
        """

        async def work(reads: Reads) -> tuple[MessageView, ...]:
            message = await self._shown(reads, message_id, caller)
            root = message.conversation_id or message.id
            views = [
                await seen_by(reads, each, self._presence, caller)
                for each in await reads.conversation(root, since, most)
            ]
            return tuple(view for view in views if view is not None)

        return await self._look(work)

    async def cancel(self, message_id: MessageId, caller: Caller) -> Cancellation:
        """Take a message back where it is not on its way yet."""
        return await self._change(
            lambda tx, changes: cancelling.cancel(tx, message_id, caller, changes),
            Cancellation,
            caller,
        )

    async def inbox(
        self, agent_id: AgentId, since: MessageId, most: int, caller: Caller
    ) -> tuple[Message, ...]:
        """List what an agent may read after a message id, oldest first."""
        caller.must_act_as(agent_id)
        return await self._look(lambda reads: reads.messages_for(agent_id, since, most))

    async def inbox_before(
        self, agent_id: AgentId, before: MessageId, most: int, caller: Caller
    ) -> tuple[Message, ...]:
        """List the newest that an agent may read before a message id, oldest first."""
        caller.must_act_as(agent_id)
        return await self._look(lambda reads: reads.messages_before(agent_id, before, most))

    async def latest_id(self) -> int:
        """The newest message's id; 0 when there is none."""
        return await self._look(lambda reads: reads.latest_message_id())

    async def mark_read(
        self, message_id: MessageId, read_by: AgentId, caller: Caller
    ) -> MessageView:
        """Note that a recipient has read a message by itself; doing it twice is harmless."""
        caller.must_act_as(read_by)

        async def work(tx: Transaction, changes: Changes) -> MessageView:
            message = await tx.message(message_id)
            delivery = await tx.delivery_for(message_id, read_by)
            readable = delivery is not None and await may_read(tx, delivery, caller)
            if message is None or delivery is None or not readable:
                raise checks.refuse(
                    "unknown_message", f"{read_by} has no message {message_id}", status=404
                )
            if delivery.state in {DeliveryState.INJECTING, DeliveryState.UNCERTAIN}:
                raise HubRefused(
                    409, "attempt_open", "an attempt is not resolved", delivery_ids=(delivery.id,)
                )
            waiting = {DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.HELD}
            if delivery.state in waiting:
                await apply(tx, delivery, MarkedRead(), changes)
            return await self._shown(tx, message_id, caller)

        return await self._change(work, MessageView, caller)

    async def _shown(self, reads: Reads, message_id: MessageId, caller: Caller) -> MessageView:
        message = await reads.message(message_id)
        view = None
        if message is not None:
            view = await seen_by(reads, message, self._presence, caller)
        if view is None:
            raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
        return view
