"""The state of one agent: what hub and host know of it."""

from __future__ import annotations

import time

from relay_cli.agent_row import AgentRow, row_of
from relay_cli.caller import acting_agent
from relay_cli.connection import ask_host, open_hub
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, clock_time, words, yes_no
from relay_core.control import HostRefused, HostUnreachable
from relay_core.host_api import HostStatus, SessionStatus
from relay_core.hub_api import Pair
from relay_core.messages import OPEN_PAIR, AgentId, Struct
from relay_core.sessions import Agent

ASK_S = 5.0


class OwnStatus(Struct):
    """What `status --mine --json` prints; `session` is None where no host here serves it."""

    agent: AgentRow
    session: SessionStatus | None = None
    pair: Pair | None = None


def show_own(acting_as: str | None, output: Output, url: str | None) -> None:
    """Show the agent that this shell is in, or the one that is named."""
    agent, own = finish(_look(acting_as, url), output, "asking the hub")
    output.show_object(own)
    now_ms = time.time_ns() // 1_000_000
    rows = [
        ("agent", agent.id),
        ("label", agent.label or NOTHING),
        ("tags", words(agent.tags)),
        ("capabilities", words(agent.capabilities)),
        ("channels", words(agent.channels)),
        ("approval", agent.approval),
        ("status", agent.status),
        ("reachable", yes_no(agent.reachable)),
        ("seen", ago(agent.last_seen_ms, now_ms)),
        ("queued", str(agent.queued)),
        ("waiting", agent.waiting or NOTHING),
        ("quiet until", clock_time(agent.quiet_until_ms, now_ms)),
        ("thread", agent.thread_id or NOTHING),
        ("session", _told_of_session(own.session)),
        ("pair", _told_of_pair(own.pair, agent.id)),
    ]
    output.fields(rows)


async def _look(acting_as: str | None, url: str | None) -> tuple[Agent, OwnStatus]:
    async with open_hub(url) as hub:
        found = await acting_agent(hub, acting_as)
        agent = await hub.agent(found.id)  # with how much is queued
        pairs = await hub.pairs(agent.id, states=OPEN_PAIR)
    own = OwnStatus(
        agent=row_of(agent),
        session=await _session_of(agent.id),
        pair=pairs[0] if pairs else None,
    )
    return agent, own


async def _session_of(agent_id: AgentId) -> SessionStatus | None:
    try:
        status = await ask_host("status", None, HostStatus, timeout_s=ASK_S)
    except (HostUnreachable, HostRefused):
        return None  # served elsewhere, or nowhere: the hub says whether it is reachable
    return next((one for one in status.sessions if one.agent_id == agent_id), None)


def _told_of_session(session: SessionStatus | None) -> str:
    if session is None:
        return "not served on this machine"
    turn = f", turn {session.active_turn}" if session.active_turn else ""
    return f"{session.activity}, {session.connection}{turn}"


def _told_of_pair(pair: Pair | None, agent_id: AgentId) -> str:
    if pair is None:
        return NOTHING
    partner = pair.invitee if pair.inviter == agent_id else pair.inviter
    return f"{pair.id} with {partner} ({pair.state})"
