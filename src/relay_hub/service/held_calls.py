"""What the user can ask of the hub about held mail; every call is refused to an agent."""

from __future__ import annotations

from relay_core.held_mail import DropRequest, HeldList, HeldPatch, HeldView
from relay_core.messages import AgentId, Delivery, DeliveryId
from relay_hub.callers import Caller
from relay_hub.service import held_mail
from relay_hub.service.committer import Committer
from relay_hub.store import Reads


class HeldCalls:
    """Looking at what is held, and deciding about it."""

    def __init__(self, committer: Committer) -> None:
        self._change = committer.change
        self._look = committer.look

    async def all(
        self, agent_id: AgentId | None, before: DeliveryId, most: int, caller: Caller
    ) -> HeldList:
        """List what is held, newest first, and count what waits for a yes."""
        caller.must_be_user()

        async def work(reads: Reads) -> HeldList:
            return HeldList(
                held=await reads.held(agent_id, before, most),
                needs_yes=await reads.held_for_a_yes(),
            )

        return await self._look(work)

    async def one(self, delivery_id: DeliveryId, caller: Caller) -> HeldView:
        """Show one, with what its recipient would get."""
        caller.must_be_user()
        return await self._look(lambda reads: held_mail.show(reads, delivery_id))

    async def approve(self, delivery_id: DeliveryId, caller: Caller) -> Delivery:
        """Let it through, for good."""
        caller.must_be_user()
        return await self._change(
            lambda tx, changes: held_mail.approve(tx, delivery_id, changes), Delivery, caller
        )

    async def edit(self, delivery_id: DeliveryId, patch: HeldPatch, caller: Caller) -> HeldView:
        """Give the recipient another text; it still waits."""
        caller.must_be_user()
        return await self._change(
            lambda tx, changes: held_mail.edit(tx, delivery_id, patch.body, changes),
            HeldView,
            caller,
        )

    async def drop(self, delivery_id: DeliveryId, request: DropRequest, caller: Caller) -> Delivery:
        """Never deliver it."""
        caller.must_be_user()
        return await self._change(
            lambda tx, changes: held_mail.drop(tx, delivery_id, request.reason, changes),
            Delivery,
            caller,
        )
