"""One agent as `agents --json` and `status --mine --json` show it."""

# Rule: pure.

from __future__ import annotations

from relay_core.messages import Struct
from relay_core.sessions import Agent


class AgentRow(Struct):
    """One agent as the command line shows it."""

    id: str
    label: str | None
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    channels: tuple[str, ...]
    approval: str
    status: str
    ready: bool
    reachable: bool
    unattended: bool
    thread_id: str | None
    adapter: str | None
    last_user_turn_ms: int | None
    waiting: str | None
    queued: int
    quiet_until_ms: int | None


def row_of(agent: Agent) -> AgentRow:
    """Take from an agent what the command line shows."""
    return AgentRow(
        id=agent.id,
        label=agent.label,
        tags=agent.tags,
        capabilities=agent.capabilities,
        channels=agent.channels,
        approval=agent.approval,
        status=agent.status,
        ready=agent.ready,
        reachable=agent.reachable,
        unattended=agent.unattended,
        thread_id=agent.thread_id,
        adapter=agent.adapter,
        last_user_turn_ms=agent.last_user_turn_ms,
        waiting=agent.waiting,
        queued=agent.queued,
        quiet_until_ms=agent.quiet_until_ms,
    )
