"""What the commands about pairs share: finding the agent's own, ending it, showing one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay_cli.caller import acting_agent, sending_agent
from relay_cli.connection import open_hub
from relay_cli.output import Output
from relay_cli.problems import Failed
from relay_core.hub_api import Pair, PairAnswer
from relay_core.messages import OPEN_PAIR, AgentId, PairState

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient


async def open_pair(hub: HubClient, agent_id: AgentId) -> Pair:
    """Find the one pair that an agent is in, or invited to; Failed where there is none."""
    found = await hub.pairs(agent_id, states=OPEN_PAIR)
    if not found:
        raise Failed(
            f"{agent_id} is in no pair",
            fix=f'agent-relay pair TARGET "OBJECTIVE" --as {agent_id}',
        )
    return found[0]


async def end_pair(pair_id: str | None, acting_as: str | None, url: str | None) -> Pair:
    """Hang up: this pair, or the one that the acting agent is in."""
    async with open_hub(url) as hub:
        if pair_id is not None:
            answer = PairAnswer(agent_id=await sending_agent(hub, acting_as))
            return await hub.hang_up(pair_id, answer)
        agent = await acting_agent(hub, acting_as)
        pair = await open_pair(hub, agent.id)
        return await hub.hang_up(pair.id, PairAnswer(agent_id=agent.id))


def print_pair(pair: Pair, output: Output) -> None:
    """Show one pair and what can be done next."""
    rows = [
        ("pair", pair.id),
        ("state", f"{pair.state} ({pair.reason})" if pair.reason else str(pair.state)),
        ("inviter", pair.inviter),
        ("invitee", pair.invitee),
        ("objective", pair.objective),
        ("ended by", pair.ended_by),
    ]
    output.fields([(name, value) for name, value in rows if value is not None])
    if pair.state is PairState.PENDING:
        output.line(f"accept it with `agent-relay pair accept {pair.id}`")
    elif pair.state is PairState.ACTIVE:
        output.line(f'write to the partner with `agent-relay pair send {pair.id} "TEXT"`')
