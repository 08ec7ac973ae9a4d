"""Acting for an agent: what a plugin that speaks for a session may do, and what the hub lets it.

The power stays here: whoever is handed an `ActingAgent` gets no token and no other agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from relay_core.hub_api import (
    AgentPatch,
    Claim,
    ClaimRequest,
    Fence,
    MessageView,
    Pair,
    PairAnswer,
    PairMessageRequest,
    PairRequest,
    SendRequest,
    SendResponse,
)
from relay_core.messages import AgentId, Message, MessageId, PairState
from relay_core.sessions import Agent, Session


class AgentHub(Protocol):
    """What one agent asks of the hub, with its own rights: limits and budgets bind it.

    Every call raises HubRefused (with the hub's code), StaleEpoch, or HubUnreachable. The same
    `idempotency_key` with the same request has one effect and one answer.
    """

    async def send(
        self, request: SendRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        """Send a message."""
        ...

    async def agents(self) -> tuple[Agent, ...]:
        """List every agent."""
        ...

    async def agent(self, agent_id: str) -> Agent:
        """Show one agent."""
        ...

    async def message(self, message_id: int) -> MessageView:
        """Show a message that the agent sent or was sent."""
        ...

    async def newest(
        self, agent_id: str, *, before: int | None = None, most: int = 100
    ) -> tuple[Message, ...]:
        """List the last messages for an agent before one, oldest first."""
        ...

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        """List the first messages of a conversation after a message id."""
        ...

    async def claims(self, fence: Fence) -> tuple[Claim, ...]:
        """List the claims that the agent holds."""
        ...

    async def claim(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """Take the claim."""
        ...

    async def complete(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """End the work as done."""
        ...

    async def fail(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """End the work as failed."""
        ...

    async def release(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """Give the work back to the others."""
        ...

    async def invite(self, request: PairRequest, *, idempotency_key: str | None = None) -> Pair:
        """Invite an agent to a pair."""
        ...

    async def accept_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        """Accept an invitation."""
        ...

    async def reject_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        """Turn an invitation down."""
        ...

    async def send_to_pair(
        self, pair_id: str, request: PairMessageRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        """Write to the partner."""
        ...

    async def hang_up(self, pair_id: str, answer: PairAnswer) -> Pair:
        """End a pair, or take an invitation back."""
        ...

    async def pairs(
        self, agent_id: str | None = None, *, states: Iterable[PairState] = ()
    ) -> tuple[Pair, ...]:
        """List the agent's pairs, newest first."""
        ...


class ActingAgent(Protocol):
    """One session's agent, to act as: got from `AdapterRegistrar.acting`, used at once, not kept.

    Every call raises HubRefused (with the hub's code), StaleEpoch when another host has taken the
    session over, or HubUnreachable. `once` names a call: the same name with the same arguments has
    one effect and one answer, also after a restart of the host.
    """

    @property
    def agent_id(self) -> AgentId:
        """The agent's id at the hub."""
        ...

    def session(self) -> Session:
        """Show the session as the decision hooks see it."""
        ...

    async def agents(self) -> tuple[Agent, ...]:
        """List every agent, this one included."""
        ...

    async def agent(self) -> Agent:
        """Show this agent as the hub does."""
        ...

    async def change(self, patch: AgentPatch) -> Agent:
        """Set label or tags, as its user may: they stay until they are set again."""
        ...

    async def send(self, request: SendRequest, *, once: str | None = None) -> SendResponse:
        """Send a message; who it is from is set here."""
        ...

    async def message(self, message_id: int) -> MessageView:
        """Show a message that this agent sent or was sent."""
        ...

    async def inbox(self, *, before: int | None = None, most: int = 100) -> tuple[Message, ...]:
        """List the last messages for this agent before one, oldest first; `most` is 500 at most."""
        ...

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        """List the first hundred messages of a conversation after a message id."""
        ...

    async def claims(self) -> tuple[Claim, ...]:
        """List the work that this agent holds."""
        ...

    async def claim(self, message_id: int) -> Claim:
        """Take the work of a message; it is kept until it is ended or given back."""
        ...

    async def complete(self, message_id: int, result: str | None = None) -> Claim:
        """End the work as done; doing it twice is harmless."""
        ...

    async def fail(self, message_id: int, reason: str | None = None) -> Claim:
        """End the work as failed; doing it twice is harmless."""
        ...

    async def release(self, message_id: int) -> Claim:
        """Give the work back to the others."""
        ...

    async def pair(self) -> Pair | None:
        """Show the pair that this agent is in or invited to; there is one at most."""
        ...

    async def invite(
        self, target: str, *, objective: str | None = None, once: str | None = None
    ) -> Pair:
        """Invite the one agent that a target means to a pair."""
        ...

    async def accept(self, pair_id: str) -> Pair:
        """Accept an invitation; doing it twice is harmless."""
        ...

    async def reject(self, pair_id: str) -> Pair:
        """Turn an invitation down; doing it twice is harmless."""
        ...

    async def tell_partner(
        self,
        pair_id: str,
        body: str,
        *,
        subject: str | None = None,
        reply_to: int | None = None,
        once: str | None = None,
    ) -> SendResponse:
        """Write to the partner."""
        ...

    async def hang_up(self, pair_id: str) -> Pair:
        """End a pair, or take an invitation back; doing it twice is harmless."""
        ...
