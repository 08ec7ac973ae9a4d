"""What the hub's guard against loops has stopped."""

from __future__ import annotations

import enum

from relay_core.messages import AgentId, MessageId, Struct


class GuardKind(enum.StrEnum):
    """What can be stopped."""

    CONVERSATION = "conversation"
    TURNS = "turns"


class Guard(Struct):
    """One conversation between agents, or one agent's turns for others, and where the guard stands.

    `subject` is the number of the conversation's first message, or the agent's id. `reason` is
    `hops`, `conversation` or `turns`: which limit was reached. `refused` counts what was refused
    since it was stopped. `more_hops` is what resets have added to the answers in a row. The
    `notice_id` is the message by which the operator was told.
    """

    kind: GuardKind
    subject: str
    reason: str
    sender: AgentId
    recipient: str
    refused: int = 0
    stopped_ms: int | None = None
    reset_ms: int = 0
    more_hops: int = 0
    notice_id: MessageId | None = None


class GuardList(Struct):
    """GET /api/guards: what is stopped, the newest first."""

    guards: tuple[Guard, ...]
