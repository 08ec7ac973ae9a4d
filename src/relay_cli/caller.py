"""Which agent a command acts as: the one that is named, else the session that this shell is in.

Codex tells the commands of a session its thread's id in CODEX_THREAD_ID; the hub knows which agent
that is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay_cli.completion import agent_ids
from relay_cli.options import identifier
from relay_cli.problems import Failed, Usage
from relay_core.messages import OPERATOR, AgentId
from relay_core.sessions import Agent

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

THREAD_VARIABLE = "CODEX_THREAD_ID"

F = TypeVar("F", bound=Callable[..., Any])


def as_option(function: F) -> F:
    """Add `--as`; the command gets `acting_as`, and asks `acting_agent` who that is."""
    return click.option(
        "--as",
        "--from",
        "acting_as",
        type=identifier,
        metavar="AGENT",
        shell_complete=agent_ids,
        help=f"Act as this agent. Default: the session that this shell is in ({THREAD_VARIABLE}).",
    )(function)


def this_thread() -> str | None:
    """Read the id of the thread whose shell this is; None in a shell of the user's own."""
    return os.environ.get(THREAD_VARIABLE) or None


def must_be_a_persons_shell() -> None:
    """Refuse what a session is not to decide about itself; Failed in a session's shell."""
    if this_thread() is not None:
        raise Failed(
            "this shell is a session's, and a session does not decide about held mail",
            fix="type it in a shell of your own; where you have set it there: "
            f"env -u {THREAD_VARIABLE} agent-relay held …",
        )


async def acting_agent(hub: HubClient, named: str | None) -> Agent:
    """Find the agent that a command acts as; Usage where nothing says which."""
    if named is not None:
        if named == OPERATOR:
            raise Usage("the operator is no agent", fix="name an agent: agent-relay agents")
        return await hub.agent(named)
    thread = this_thread()
    if thread is None:
        raise Usage(
            "which agent? this shell is in no session",
            fix="name one with --as AGENT; `agent-relay agents` lists them",
        )
    return agent_of_thread(await hub.agents(), thread)


async def sending_agent(hub: HubClient, named: str | None) -> AgentId | None:
    """Find whom a message is from; None for whoever the token says: the operator, or its agent."""
    if named is not None:
        return AgentId(named)
    thread = this_thread()
    if thread is None:
        return None
    try:
        return agent_of_thread(await hub.agents(), thread).id
    except Failed as error:
        # Never the operator by default: what a model's shell sends must not look like the user's.
        fix = "name who it is from: --from AGENT; the person at the keyboard is --from operator"
        raise Failed(error.detail, fix=fix) from error


async def reading_agent(hub: HubClient) -> AgentId:
    """Find whose mail is meant where nobody is named: this session's agent, or the operator."""
    thread = this_thread()
    return OPERATOR if thread is None else agent_of_thread(await hub.agents(), thread).id


def agent_of_thread(agents: Iterable[Agent], thread_id: str) -> Agent:
    """Pick a thread's agent, of several the one that is there; Failed where there is none."""
    found = [agent for agent in agents if agent.thread_id == thread_id]
    if not found:
        raise Failed(
            f"the session that this shell is in ({THREAD_VARIABLE}={thread_id}) is no agent yet",
            fix="name one, which `agent-relay agents` lists: as AGENT or with --as AGENT",
        )
    return max(found, key=lambda agent: (agent.reachable, agent.last_seen_ms or 0))
