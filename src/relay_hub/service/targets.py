"""Who a message is for: from the words after `to` to agents."""

# Rule 1: an agent id, `operator`, `tag:x`, `cap:x`, `label:x` or `broadcast`; a bare word is tried
#         as an id, then as a label, then as a tag.
# Rule 2: a bare word means one agent: more than one match is an error that lists them.
# Rule 3: a group never holds the sender itself.

from __future__ import annotations

from relay_core.messages import OPERATOR, AgentId
from relay_core.sessions import Agent
from relay_hub.service.checks import GROUPS, line, refuse
from relay_hub.store import Reads

BROADCAST = "broadcast"
_MOST_NAMED = 20
_NO_LIMIT = 1 << 30


async def resolve(
    reads: Reads, target: str, sender: AgentId, fan_out: int
) -> tuple[tuple[Agent, ...], bool]:
    """Find the recipients; also whether the target names one agent rather than a group.

    404 `unknown_target` or `no_recipients`, 422 `ambiguous_target`, `to_self` or `fan_out`.
    """
    wanted = line("to", target)
    if wanted is None:
        raise refuse("bad_target", "to is empty", fix="name an agent, tag:x, cap:x or broadcast")
    if wanted == BROADCAST:
        return await _group(reads, wanted, await reads.agent_ids(), sender, fan_out), False
    for prefix in GROUPS:
        if wanted.startswith(prefix):
            kind, value = prefix.removesuffix(":"), wanted.removeprefix(prefix).strip()
            found = await reads.named_agents(kind, value)
            return await _group(reads, wanted, found, sender, fan_out), False
    return (await _one(reads, wanted, sender),), True


async def resolve_one(reads: Reads, target: str, sender: AgentId) -> Agent:
    """Find the one other agent that a target means, a group of one included.

    404 `unknown_target` or `no_recipients`, 422 `ambiguous_target` (which lists them) or `to_self`.
    """
    wanted = line("target", target)
    if wanted == OPERATOR:
        raise refuse("bad_target", "operator is a person, not an agent")
    found, direct = await resolve(reads, target, sender, _NO_LIMIT)
    if direct or len(found) == 1:
        return found[0]
    named = ", ".join(each.id for each in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    raise refuse("ambiguous_target", f"{wanted!r} could be {named}{more}", fix="name one of them")


async def _group(
    reads: Reads, target: str, found: tuple[AgentId, ...], sender: AgentId, fan_out: int
) -> tuple[Agent, ...]:
    others = [each for each in found if each != sender]
    if not others:
        raise refuse("no_recipients", f"nobody else is reached by {target!r}", status=404)
    if len(others) > fan_out:
        raise refuse(
            "fan_out", f"{target!r} reaches {len(others)} agents, {fan_out} are allowed at once"
        )
    agents = [await reads.agent(each) for each in others]
    return tuple(agent for agent in agents if agent is not None)


async def _one(reads: Reads, word: str, sender: AgentId) -> Agent:
    agent = await reads.agent(AgentId(word))
    if agent is not None:
        if agent.id == sender:
            raise refuse("to_self", f"{word} would write to itself")
        return agent
    for kind in ("label", "tag"):
        found = [each for each in await reads.named_agents(kind, word) if each != sender]
        if len(found) > 1:
            raise refuse(
                "ambiguous_target",
                f"{word!r} could be {', '.join(found)}",
                fix=f"name one of them, or write to all with {kind}:{word}",
            )
        if found and (agent := await reads.agent(found[0])) is not None:
            return agent
    raise refuse(
        "unknown_target",
        f"no agent has the id, label or tag {word!r}",
        status=404,
        fix="see who is there with: agent-relay agents",
    )
