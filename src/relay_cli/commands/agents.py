"""`agent-relay agents`."""

from __future__ import annotations

import shlex
import time

import click

from relay_cli.agent_row import AgentRow, row_of
from relay_cli.completion import agent_ids, tags
from relay_cli.connection import open_hub
from relay_cli.options import LARGEST_LIMIT, json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, clock_time, words, yes_no
from relay_core.messages import Struct
from relay_core.sessions import Agent

MOST = 100


class AgentRows(Struct):
    """What `agents --json` prints; `more` is how many were left out by `--limit`."""

    agents: tuple[AgentRow, ...]
    more: int = 0


@click.command(
    "agents",
    help="""List the agents that messages can be sent to.

    `reachable` says whether a host serves the agent now; messages to the others wait at the hub.
    `waiting` names why an agent's mail is not delivered right now, and until when it is to be
    quiet. They are listed by id; a list
    that is longer than `--limit` ends with the command that shows what comes after.

    \b
    Examples:
      agent-relay agents
      agent-relay agents --tag frontend --limit 20
      agent-relay agents --json | jq -r '.agents[] | select(.reachable) | .id'
    """,
)
@click.option("--tag", metavar="TAG", shell_complete=tags, help="Only those with this tag.")
@click.option(
    "--limit",
    type=click.IntRange(1, LARGEST_LIMIT),
    metavar="N",
    help=f"Show at most so many. Default: {MOST}, with --json all.",
)
@click.option(
    "--after", metavar="AGENT", shell_complete=agent_ids, help="Only those after this id."
)
@url_option
@json_option
def command(
    tag: str | None, limit: int | None, after: str | None, output: Output, url: str | None
) -> None:
    """List the agents."""
    found = sorted(
        (
            agent
            for agent in finish(_agents(url), output, "asking the hub")
            if (tag is None or tag in agent.tags) and agent.id > (after or "")
        ),
        key=lambda agent: agent.id,
    )
    agents = found[: limit or (len(found) if output.as_json else MOST)]
    more = len(found) - len(agents)
    output.show_object(AgentRows(agents=tuple(map(row_of, agents)), more=more))
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("AGENT", "LABEL", "STATUS", "REACHABLE", "APPROVAL", "TAGS", "CHANNELS", "QUEUED",
         "WAITING", "SEEN"),
        [_cells(agent, now_ms) for agent in agents],
        empty=_why_none(tag, after),
    )  # fmt: skip
    if more:
        narrowed = "" if tag is None else f" --tag {shlex.quote(tag)}"
        output.more(f"agent-relay agents{narrowed} --after {agents[-1].id}", more)


def _why_none(tag: str | None, after: str | None) -> str:
    if tag is None and after is None:
        return "no agents yet; open a session with `codex-relay`, or see `agent-relay doctor`"
    return "no such agents; `agent-relay agents` lists all"


async def _agents(url: str | None) -> tuple[Agent, ...]:
    async with open_hub(url) as hub:
        return await hub.agents()


def _cells(agent: Agent, now_ms: int) -> tuple[str, ...]:
    reasons = [agent.waiting] if agent.waiting else []
    if agent.quiet_until_ms is not None:
        reasons.append(f"quiet until {clock_time(agent.quiet_until_ms, now_ms)}")
    waiting = ", ".join(reasons) or NOTHING
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
