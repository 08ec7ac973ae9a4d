"""Who is there: the others, this session itself, and what it is called."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from msgspec import Meta

from relay_core import Agent, AgentPatch, PairState, Struct
from relay_plugins.codex.tools.pairing import partner_of
from relay_plugins.codex.tools.tool import Call, Given, Input, Nothing


class AgentsInput(Input):
    target: Annotated[
        str,
        Meta(
            description="Only those with this in their id, label, tags or capabilities. tag:NAME, "
            "cap:NAME and label:NAME mean exactly that. Empty: all."
        ),
    ] = ""
    after: Annotated[str, Meta(description="Only agents after this id. Empty: the first.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="How many.")] = 30


class OtherAgent(Struct):
    """An agent; `hears` says when a message reaches it, `you` that it is this session."""

    id: str
    hears: str
    status: str
    label: str = ""
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    approval: str = ""
    you: bool = False


class AgentsOutput(Struct):
    """Agents by id; `after` lists the next ones, empty where there are none."""

    agents: tuple[OtherAgent, ...]
    total: int
    after: str


class StatusOutput(Struct):
    """This session as the relay knows it."""

    agent_id: str
    hub_url: str
    label: str
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    channels: tuple[str, ...]
    approval: str
    profile: str
    queued: int
    waiting: str
    unattended: bool
    claims: tuple[int, ...]
    pair_id: str
    pair_state: PairState | None
    partner: str


class LabelInput(Input):
    label: Annotated[str, Meta(description="One short name. Empty: take the label away.")]


class TagsInput(Input):
    tags: Annotated[
        tuple[str, ...],
        Meta(description="Every tag that it shall have, besides those that say what it is."),
    ]


class NamedOutput(Struct):
    agent_id: str
    label: str
    tags: tuple[str, ...]


async def agents(call: Call, given: AgentsInput) -> Given[AgentsOutput]:
    """List agents."""
    wanted = [each for each in await call.agent.agents() if matches(each, given.target)]
    later = sorted((each for each in wanted if each.id > given.after), key=lambda each: each.id)
    page = tuple(_other(each, call.agent.agent_id) for each in later[: given.limit])
    after = page[-1].id if len(later) > len(page) else ""
    hear = sum(each.hears == NOW for each in page)
    text = f"{len(wanted)} agents, {hear} of the {len(page)} shown hear a message now."
    return Given(value=AgentsOutput(agents=page, total=len(wanted), after=after), text=text)


async def status(call: Call, given: Nothing) -> Given[StatusOutput]:  # noqa: ARG001 - one shape for all
    """Show this session."""
    acting = call.agent
    session, agent = acting.session(), await acting.agent()
    held, pair = await acting.claims(), await acting.pair()
    value = StatusOutput(
        agent_id=agent.id,
        hub_url=session.hub_url,
        label=agent.label or "",
        tags=agent.tags,
        capabilities=agent.capabilities,
        channels=agent.channels,
        approval=session.approval or "",
        profile=session.profile or "",
        queued=agent.queued,
        waiting=agent.waiting or "",
        unattended=agent.unattended,
        claims=tuple(each.message_id for each in held),
        pair_id=pair.id if pair else "",
        pair_state=pair.state if pair else None,
        partner=partner_of(pair, agent.id) if pair else "",
    )
    return Given(value=value, text=f"You are {agent.id}; {agent.queued} messages wait for you.")


async def label(call: Call, given: LabelInput) -> Given[NamedOutput]:
    """Set the label."""
    return _named(await call.agent.change(AgentPatch(label=given.label)))


async def tags(call: Call, given: TagsInput) -> Given[NamedOutput]:
    """Set the tags; those that say what a session is stay."""
    agent = await call.agent.agent()
    project = PurePath(call.agent.session().cwd).name or "unknown"
    own = [tag for tag in agent.tags if tag in {agent.adapter, agent.rig, project}]
    wanted = [tag.strip() for tag in given.tags if tag.strip()]
    every = tuple(dict.fromkeys([*own, *wanted]))
    return _named(await call.agent.change(AgentPatch(tags=every)))


NOW = "now"


def hears(agent: Agent) -> str:
    """Say when a message reaches an agent."""
    if not agent.reachable:
        return "when its session is back"
    if agent.unattended:
        return "when its user is back"
    return f"after: {agent.waiting}" if agent.waiting else NOW


def matches(agent: Agent, target: str) -> bool:
    """Tell whether an agent is meant."""
    kind, colon, name = target.partition(":")
    named = {"tag": agent.tags, "cap": agent.capabilities, "label": (agent.label or "",)}
    if colon and kind in named:
        return name in named[kind]
    words = (agent.id, agent.label or "", *agent.tags, *agent.capabilities)
    return any(target.lower() in word.lower() for word in words)


def _other(agent: Agent, own: str) -> OtherAgent:
    return OtherAgent(
        id=agent.id,
        hears=hears(agent),
        status=agent.status,
        label=agent.label or "",
        tags=agent.tags,
        capabilities=agent.capabilities,
        channels=agent.channels,
        approval=agent.approval,
        you=agent.id == own,
    )


def _named(agent: Agent) -> Given[NamedOutput]:
    value = NamedOutput(agent_id=agent.id, label=agent.label or "", tags=agent.tags)
    called = f"the label {agent.label}" if agent.label else "no label"
    tagged = f"the tags {', '.join(agent.tags)}" if agent.tags else "no tags"
    return Given(value=value, text=f"{agent.id} has {called} and {tagged}.")
