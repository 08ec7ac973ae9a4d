"""Agents: registering, which fences every earlier instance, and what they show of themselves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from relay_core.delivery import AttemptDoubted, Held, RecipientRemoved, Released
from relay_core.errors import HubRefused
from relay_core.hub_api import AgentPatch, HeartbeatRequest, RegisterRequest
from relay_core.messages import OPERATOR, QUIET, AgentId, DeliveryState
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import checks, claims, pairs
from relay_hub.service.changes import Changes, apply
from relay_hub.store import Transaction
from relay_hub.store.rows import UserSet

_SHORT = 128
"""Characters that a label, an approval mode, an instance or an adapter may have."""

LONGEST_QUIET_MS = 366 * 24 * 60 * 60 * 1_000
"""The furthest end of an agent's quiet; what lies beyond was not meant as milliseconds."""


def check(request: RegisterRequest, limits: Limits) -> RegisterRequest:
    """Check all of a registration that can be checked without looking at anything else."""
    return RegisterRequest(
        id=checks.new_agent_id(request.id),
        name=checks.line("name", request.name),
        label=checks.line("label", request.label, most=_SHORT),
        machine=checks.line("machine", request.machine),
        rig=checks.line("rig", request.rig),
        tags=checks.names("tags", request.tags),
        capabilities=checks.names("capabilities", request.capabilities),
        status=checks.line("status", request.status, most=64) or "online",
        instance_id=checks.line("instanceId", request.instance_id, most=_SHORT),
        adapter=checks.line("adapter", request.adapter, most=_SHORT),
        meta=checks.json_object("meta", request.meta, limits),
    )


async def register(
    tx: Transaction,
    request: RegisterRequest,
    changes: Changes,
    reachable: Callable[[Agent], bool],
    *,
    by_user: bool = True,
) -> tuple[Agent, bool]:
    """Register an agent, new or again; answers it with its new epoch, and whether it is new.

    Whatever an earlier instance was injecting is uncertain from now on. An id that nobody has is a
    proposal where an adapter brings it: the agent of the same thread keeps the id that it has.
    """
    now = changes.now_ms
    former = await tx.agent(request.id)
    if former is None and by_user:
        former = await _of_the_same_thread(tx, request)
        request = request if former is None else replace(request, id=former.id)
    epoch = await tx.former_epoch(request.id) + 1
    known = checks.known_meta(request.meta)
    set_by_user = await tx.user_set(request.id)
    away_ms = 0
    if former is not None and not reachable(former):
        away_ms = max(0, now - (former.last_seen_ms or former.created_at))
    agent = Agent(
        id=request.id,
        name=request.name or request.id,
        label=_label(request, former, set_by_user),
        machine=request.machine,
        rig=request.rig,
        tags=former.tags if former and set_by_user.tags else request.tags,
        capabilities=request.capabilities,
        channels=checks.names("channels", known.channels or ()),
        approval=checks.line("approvalMode", known.approval_mode, most=_SHORT) or "open",
        status=request.status,
        thread_id=checks.line("threadId", known.thread_id),
        adapter=request.adapter,
        last_user_turn_ms=former.last_user_turn_ms if former else None,
        last_seen_ms=now,
        instance_id=request.instance_id,
        epoch=epoch,
        meta=request.meta,
        created_at=former.created_at if former else now,
        quiet_until_ms=former.quiet_until_ms if former else None,
    )
    await tx.put_agent(agent)
    for delivery in await tx.in_doubt(request.id):
        if delivery.state is DeliveryState.INJECTING:
            await apply(tx, delivery, AttemptDoubted(), changes)
    changes.fenced[request.id] = epoch
    return replace(agent, away_ms=away_ms), former is None


async def _of_the_same_thread(tx: Transaction, request: RegisterRequest) -> Agent | None:
    """The agent of the session that an adapter registers, under whichever id."""
    thread_id = checks.known_meta(request.meta).thread_id
    if request.adapter is None or thread_id is None:
        return None
    of_it = [
        agent
        for agent in await tx.agents()
        if (agent.adapter, agent.machine) == (request.adapter, request.machine)
        and agent.thread_id == thread_id
    ]
    return min(of_it, key=lambda agent: agent.created_at, default=None)


def _label(request: RegisterRequest, former: Agent | None, set_by_user: UserSet) -> str | None:
    # A session that says nothing leaves the label alone as well.
    if former is not None and (set_by_user.label or request.label is None):
        return former.label
    return request.label


async def heartbeat(
    tx: Transaction, agent_id: AgentId, request: HeartbeatRequest, changes: Changes
) -> Agent:
    """Store that an agent is alive, and what it shows of itself."""
    agent = await fenced(tx, agent_id, request.instance_id, request.epoch)
    seen = replace(
        agent,
        last_seen_ms=changes.now_ms,
        status=checks.line("status", request.status, most=64) or agent.status,
        approval=checks.line("approval", request.approval, most=_SHORT) or agent.approval,
        ready=agent.ready if request.ready is None else request.ready,
        waiting=checks.line("waiting", request.waiting),
        unattended=agent.unattended if request.unattended is None else request.unattended,
        last_user_turn_ms=(
            agent.last_user_turn_ms
            if request.last_user_turn_ms is None
            else request.last_user_turn_ms
        ),
    )
    await tx.touch_agent(seen)
    return seen


async def show(
    tx: Transaction,
    agent_id: AgentId,
    instance_id: str | None,
    epoch: int | None,
    changes: Changes,
    *,
    status: str | None = None,
    ready: bool | None = None,
) -> Agent:
    """Store what an agent is doing, or whether it would take a message now."""
    agent = await fenced(tx, agent_id, instance_id, epoch)
    shown = replace(
        agent,
        last_seen_ms=changes.now_ms,
        status=agent.status if status is None else status,
        ready=agent.ready if ready is None else ready,
    )
    await tx.touch_agent(shown)
    return shown


async def fenced(
    tx: Transaction, agent_id: AgentId, instance_id: str | None, epoch: int | None
) -> Agent:
    """Look up an agent for a call that needs its epoch."""
    return checks.fence(await tx.agent(agent_id), agent_id, instance_id, epoch, required=True)


async def change(
    tx: Transaction, agent_id: AgentId, patch: AgentPatch, caller: Caller, changes: Changes
) -> Agent:
    """Store another label, other tags or another end of the quiet; an empty label is none.

    What the user sets stays over registrations until the user sets it again: 403 `user_only` for
    the agent itself, and for its quiet in any case.
    """
    if patch.quiet_until is not None:
        caller.must_be_user()
    agent = await tx.agent(agent_id)
    if agent is None or agent_id == OPERATOR:
        raise checks.refuse("unknown_agent", f"no agent is called {agent_id}", status=404)
    former = await tx.user_set(agent_id)
    by_user = caller.agent_id is None
    if not by_user and (former.label and patch.label is not None):
        raise _users_own("label", agent_id)
    if not by_user and (former.tags and patch.tags is not None):
        raise _users_own("tags", agent_id)
    if patch.label is not None:
        agent = replace(agent, label=checks.line("label", patch.label, most=_SHORT))
    if patch.tags is not None:
        agent = replace(agent, tags=checks.names("tags", patch.tags))
    if patch.quiet_until is not None:
        agent = replace(agent, quiet_until_ms=_quiet_end(agent, patch.quiet_until, changes.now_ms))
    await tx.put_agent(agent)
    if patch.quiet_until is not None:
        await _move_quiet_holds(tx, agent, changes)
    changes.look_again(agent_id, await tx.latest_message_id())
    if by_user:
        label = former.label or patch.label is not None
        tags = former.tags or patch.tags is not None
        await tx.put_user_set(agent_id, UserSet(label=label, tags=tags))
    return agent


def _quiet_end(agent: Agent, wanted_ms: int, now_ms: int) -> int | None:
    """When the quiet ends that is asked for; 0 ends one now, and leaves alone when the last was."""
    former_ms = agent.quiet_until_ms
    if wanted_ms == 0:
        return former_ms if former_ms is None else min(former_ms, now_ms)
    if not now_ms < wanted_ms <= now_ms + LONGEST_QUIET_MS:
        raise checks.refuse(
            "bad_quiet",
            "quietUntil is no time within the next year",
            fix="give milliseconds since the Unix epoch, or 0 to end the quiet",
        )
    return wanted_ms


async def _move_quiet_holds(tx: Transaction, agent: Agent, changes: Changes) -> None:
    """Let what is held because of the quiet wait for its new end, or go on at once."""
    until_ms = agent.quiet_until_ms
    goes_on = until_ms is None or until_ms <= changes.now_ms
    for delivery in await tx.held_because(agent.id, QUIET):
        event = Released() if goes_on else Held(reason=QUIET, until_ms=until_ms)
        await apply(tx, delivery, event, changes)


def _users_own(field: str, agent_id: AgentId) -> HubRefused:
    return checks.refuse("user_only", f"the user has set the {field} of {agent_id}", status=403)


async def remove(tx: Transaction, agent_id: AgentId, caller: Caller, changes: Changes) -> Agent:
    """Forget an agent: its pair ends, what waited for it is dead, others are offered its work."""
    agent = await tx.agent(agent_id)
    if agent is None or agent_id == OPERATOR:
        raise checks.refuse("unknown_agent", f"no agent is called {agent_id}", status=404)
    await pairs.leave(tx, agent_id, caller, changes)
    await claims.leave(tx, agent_id, changes)
    while offers := await tx.offers(agent_id, changes.limits.offer_bytes):
        for offer in offers:
            await apply(tx, offer.delivery, RecipientRemoved(), changes)
    await tx.delete_agent(agent_id, changes.now_ms)
    changes.fenced[agent_id] = agent.epoch + 1
    return agent


def shown(
    agent: Agent, now_ms: int, *, reachable: bool, whole: bool, queued: int | None = None
) -> Agent:
    """An agent as it is shown: where it is now; its `meta` to itself and to the user alone."""
    seen = agent.last_seen_ms or agent.created_at
    return replace(
        agent,
        reachable=reachable,
        away_ms=0 if reachable else max(0, now_ms - seen),
        queued=agent.queued if queued is None else queued,
        quiet_until_ms=agent.quiet_until_ms if (agent.quiet_until_ms or 0) > now_ms else None,
        meta=agent.meta if whole else msgspec.Raw(b"{}"),
    )
