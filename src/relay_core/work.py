"""What the hub says of the work that claimable messages ask for."""

from __future__ import annotations

import msgspec

from relay_core.hub_api import Claim
from relay_core.messages import AgentId, ClaimEvent, ClaimState, Message, Struct

GOING_ON = (ClaimState.OPEN, ClaimState.HELD)
"""Where work stands that may still be done."""


class Task(Claim, kw_only=True):
    """A claim, and the message whose work it is about; `excerpt` is how its body begins."""

    from_: AgentId = msgspec.field(name="from")
    to: str
    excerpt: str
    claimed_ms: int | None = None
    subject: str | None = None


class TaskList(Struct):
    """GET /api/claims: newest message first."""

    claims: tuple[Task, ...]


class HandOver(Struct):
    """One thing that happened to a claim: when, by or to which agent, and the token since then."""

    at_ms: int
    event: ClaimEvent
    agent_id: AgentId | None
    token: int


class TaskView(Struct):
    """GET /api/claims/{messageId}: the claim, the message, and whose hands it went through."""

    claim: Claim
    message: Message
    events: tuple[HandOver, ...] = ()
