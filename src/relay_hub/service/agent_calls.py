"""What can be asked of the hub about agents."""

from __future__ import annotations

import msgspec

from relay_core.hub_api import (
    AgentPatch,
    HeartbeatRequest,
    ReadyRequest,
    RegisterRequest,
    StatusRequest,
)
from relay_core.messages import (
    OPERATOR,
    AgentId,
    Struct,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import agents, checks
from relay_hub.service.agent_tokens import AgentTokens
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.service.presence import Presence
from relay_hub.store import Reads, Transaction


class Registered(Struct):
    """What a registration answers, and whether the agent is new."""

    agent: Agent
    new: bool


class AgentCalls:
    """Registering, and what an agent shows of itself."""

    def __init__(
        self, committer: Committer, presence: Presence, limits: Limits, tokens: AgentTokens
    ) -> None:
        self._change = committer.change
        self._look = committer.look
        self._presence = presence
        self._limits = limits
        self._tokens = tokens

    async def register(self, request: RegisterRequest, caller: Caller) -> Registered:
        """Register an agent; whoever acted for it before is fenced."""
        caller.must_act_as(request.id)
        checked = agents.check(request, self._limits)

        async def work(tx: Transaction, changes: Changes) -> Registered:
            agent, new = await agents.register(
                tx,
                checked,
                changes,
                self._presence.is_reachable,
                by_user=caller.agent_id is None,
            )
            return Registered(agent=agent, new=new)

        done = await self._change(work, Registered, caller)
        shown = agents.shown(done.agent, self._presence.now_ms(), reachable=True, whole=True)
        away_ms = done.agent.away_ms
        return Registered(agent=msgspec.structs.replace(shown, away_ms=away_ms), new=done.new)

    async def heartbeat(
        self, agent_id: AgentId, request: HeartbeatRequest, caller: Caller
    ) -> Agent:
        """Note that an agent is alive."""
        caller.must_act_as(agent_id)
        return await self._change(
            lambda tx, changes: agents.heartbeat(tx, agent_id, request, changes), Agent, caller
        )

    async def set_status(self, agent_id: AgentId, request: StatusRequest, caller: Caller) -> Agent:
        """Note what an agent is doing."""
        caller.must_act_as(agent_id)
        status = checks.line("status", request.status, most=64)
        if status is None:
            raise checks.refuse("bad_status", "status is empty")
        return await self._change(
            lambda tx, changes: agents.show(
                tx, agent_id, request.instance_id, request.epoch, changes, status=status
            ),
            Agent,
            caller,
        )

    async def set_ready(self, agent_id: AgentId, request: ReadyRequest, caller: Caller) -> Agent:
        """Note whether an agent would take a message now."""
        caller.must_act_as(agent_id)
        return await self._change(
            lambda tx, changes: agents.show(
                tx, agent_id, request.instance_id, request.epoch, changes, ready=request.ready
            ),
            Agent,
            caller,
        )

    async def change(self, agent_id: AgentId, patch: AgentPatch, caller: Caller) -> Agent:
        """Change an agent's label, tags or quiet."""
        caller.must_act_as(agent_id)
        agent = await self._change(
            lambda tx, changes: agents.change(tx, agent_id, patch, caller, changes), Agent, caller
        )
        return self._presence.shown(agent, caller)

    async def remove(self, agent_id: AgentId, caller: Caller) -> None:
        """Forget an agent; its tokens die with it."""
        caller.must_act_as(agent_id)
        await self._change(
            lambda tx, changes: agents.remove(tx, agent_id, caller, changes), Agent, caller
        )
        self._tokens.forget(agent_id)

    async def one(self, agent_id: AgentId, caller: Caller) -> Agent:
        """Show one agent."""

        async def work(reads: Reads) -> tuple[Agent | None, int]:
            return (
                await reads.agent(agent_id),
                await reads.waiting_count(agent_id, self._limits.recipient_queue),
            )

        agent, queued = await self._look(work)
        if agent is None or agent_id == OPERATOR:
            raise checks.refuse("unknown_agent", f"no agent is called {agent_id!a}", status=404)
        return self._presence.shown(agent, caller, queued=queued)

    async def all(
        self, caller: Caller, *, since: AgentId | None = None, most: int | None = None
    ) -> tuple[Agent, ...]:
        """Show agents by id: every one, or the first ones after an id."""
        found = await self._look(lambda reads: reads.agents(since, most))
        return tuple(self._presence.shown(agent, caller) for agent in found)
