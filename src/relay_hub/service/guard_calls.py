"""What can be asked of the hub about its guard against loops."""

from __future__ import annotations

from relay_core.guards import Guard, GuardList
from relay_hub.callers import Caller
from relay_hub.service import guard
from relay_hub.service.committer import Committer


class GuardCalls:
    """Looking at what is stopped, and letting it go on; for the user alone."""

    def __init__(self, committer: Committer) -> None:
        self._change = committer.change
        self._look = committer.look

    async def all(self, caller: Caller) -> GuardList:
        """List what is stopped, the newest first."""
        caller.must_be_user()
        return GuardList(guards=await self._look(lambda reads: reads.guards()))

    async def reset(self, subject: str, caller: Caller) -> Guard:
        """Let a conversation, or an agent's turns for others, go on."""
        caller.must_be_user()
        return await self._change(
            lambda tx, changes: guard.reset(tx, subject, changes), Guard, caller
        )
