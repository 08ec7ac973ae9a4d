"""Tokens that act for one agent each."""

from __future__ import annotations

from relay_core.hub_proof import token_key
from relay_core.messages import (
    OPERATOR,
    AgentId,
    Credential,
)
from relay_core.ports import Random
from relay_hub.callers import Caller
from relay_hub.service import checks
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.store import Transaction
from relay_hub.tokens import new_token, token_hash


class AgentTokens:
    """Makes agent tokens and knows their hashes."""

    def __init__(self, committer: Committer, random: Random) -> None:
        self._change = committer.change
        self._look = committer.look
        self._random = random
        self._known: dict[bytes, AgentId] = {}
        self._by_key: dict[str, bytes] = {}

    async def load(self) -> None:
        """Read the hashes that the store has."""
        self._known = dict(await self._look(lambda reads: reads.agent_tokens()))
        self._by_key = {token_key(hashed): hashed for hashed in self._known}

    def forget(self, agent_id: AgentId) -> None:
        """Forget the tokens of an agent that was deleted."""
        self._known = {key: each for key, each in self._known.items() if each != agent_id}
        self._by_key = {token_key(hashed): hashed for hashed in self._known}

    async def make(self, agent_id: AgentId, caller: Caller) -> str:
        """Make a token that acts for one agent; only its hash is kept.

        An idempotency key counts for nothing here: nobody could show the same token again.
        """
        caller.must_be_user()
        token = new_token(self._random)
        hashed = token_hash(token)

        async def work(tx: Transaction, changes: Changes) -> None:
            if agent_id == OPERATOR or await tx.agent(agent_id) is None:
                raise checks.refuse("unknown_agent", f"no agent is called {agent_id!a}", status=404)
            await tx.add_agent_token(hashed, agent_id, changes.now_ms)

        await self._change(work)
        self._known[hashed] = agent_id
        self._by_key[token_key(hashed)] = hashed
        return token

    def named(self, key: str) -> bytes | None:
        """The hash of the agent token that a client names, for a proof that it is known here."""
        return self._by_key.get(key)

    def caller(self, hashed: bytes) -> Caller | None:
        """Who the bearer of an agent token is, by the token's hash."""
        agent_id = self._known.get(hashed)
        if agent_id is None:
            return None
        return Caller(credential=Credential.AGENT, agent_id=agent_id)
