"""What can be asked of the hub about dead letters."""

from __future__ import annotations

from relay_core.dead_letters import DeadLetter, DeadList, DeadView
from relay_core.messages import AgentId, Delivery, DeliveryId
from relay_hub.callers import Caller
from relay_hub.service import dead_letters
from relay_hub.service.committer import Committer
from relay_hub.store import Reads


class DeadCalls:
    """Looking at dead letters, and deciding about them."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._change = committer.change
        self._look = committer.look

    async def all(
        self, agent_id: AgentId | None, before: DeliveryId, most: int, caller: Caller
    ) -> DeadList:
        """List dead letters, newest first; an agent's token lists what it sent or was to get."""
        if agent_id is not None:
            caller.must_act_as(agent_id)

        async def work(reads: Reads) -> DeadList:
            found = await reads.dead_letters(agent_id, caller.agent_id, before, most)
            return DeadList(dead=found)

        return await self._look(work)

    async def one(self, delivery_id: DeliveryId, caller: Caller) -> DeadView:
        """Show all that is known of one."""
        return await self._look(lambda reads: dead_letters.show(reads, delivery_id, caller))

    async def retry(self, delivery_id: DeliveryId, caller: Caller) -> Delivery:
        """Queue it again."""
        self._committer.must_have_room()
        return await self._change(
            lambda tx, changes: dead_letters.retry(tx, delivery_id, caller, changes),
            Delivery,
            caller,
        )

    async def drop(self, delivery_id: DeliveryId, caller: Caller) -> DeadLetter:
        """List it no longer."""
        return await self._change(
            lambda tx, changes: dead_letters.drop(tx, delivery_id, caller, changes),
            DeadLetter,
            caller,
        )
