"""Who is asking: what a token lets its bearer do."""

from __future__ import annotations

from relay_core.errors import HubRefused
from relay_core.messages import AgentId, Credential, Struct


class Once(Struct):
    """An idempotency key: the request must have its effect once.

    It belongs to a caller (`scope`) and a route; `asked` is the hash of the body.
    """

    scope: str
    route: str
    key: str
    asked: bytes


class Caller(Struct):
    """The bearer of a token: the user, who may act as any agent, or one agent.

    `once` is there for a request that came with an idempotency key.
    """

    credential: Credential
    agent_id: AgentId | None = None
    once: Once | None = None

    @property
    def scope(self) -> str:
        """What idempotency keys of this caller belong to."""
        return "user" if self.agent_id is None else f"agent:{self.agent_id}"

    def may_act_as(self, agent_id: AgentId) -> bool:
        """Tell whether this caller may speak and act for an agent."""
        return self.credential is Credential.USER or self.agent_id == agent_id

    def must_act_as(self, agent_id: AgentId) -> None:
        """Refuse with 403 `foreign_agent` what concerns another agent."""
        if not self.may_act_as(agent_id):
            raise HubRefused(
                403,
                "foreign_agent",
                f"this token acts for {self.agent_id} only",
                fix="use the user token, or the token of that agent",
            )

    def must_be_user(self) -> None:
        """Refuse with 403 `user_only` what no agent may do."""
        if self.credential is not Credential.USER:
            raise HubRefused(403, "user_only", "this needs the user token")


USER = Caller(credential=Credential.USER)
"""The bearer of the user token."""
