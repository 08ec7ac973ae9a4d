"""`agent-relay agents`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, words, yes_no
from relay_core.messages import Struct
from relay_core.sessions import Agent


class AgentRow(Struct):
    """One agent as `agents --json` shows it."""

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


class AgentRows(Struct):
    """What `agents --json` prints."""

    agents: tuple[AgentRow, ...]


@click.command(
    "agents",
    help="""List the agents that messages can be sent to.

    `reachable` says whether a host serves the agent now; messages to the others wait at the hub.
    `waiting` names why an agent's mail is not delivered right now.
    """,
)
@url_option
@json_option
def command(output: Output, url: str | None) -> None:
    """List the agents."""
    agents = finish(_agents(url), output, "asking the hub")
    output.show_object(AgentRows(agents=tuple(map(row_of, agents))))
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("AGENT", "LABEL", "STATUS", "REACHABLE", "APPROVAL", "TAGS", "CHANNELS", "QUEUED",
         "WAITING", "SEEN"),
        [_cells(agent, now_ms) for agent in agents],
        empty="no agents yet; attach a session with `agent-relay-codex attach`",
    )  # fmt: skip


async def _agents(url: str | None) -> tuple[Agent, ...]:
    async with open_hub(url) as hub:
        return await hub.agents()


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
    )


def _cells(agent: Agent, now_ms: int) -> tuple[str, ...]:
    waiting = agent.waiting or NOTHING
    return (
        agent.id,
        agent.label or NOTHING,
        agent.status,
        yes_no(agent.reachable),
        agent.approval,
        words(agent.tags),
        words(agent.channels),
        str(agent.queued),
        f"{waiting} (unattended)" if agent.unattended else waiting,
        ago(agent.last_seen_ms, now_ms),
    )
