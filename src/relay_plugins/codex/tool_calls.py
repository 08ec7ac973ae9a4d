"""What the operation `codex.tools` is answered: one line of a session's MCP client."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from relay_core import ActingAgent, AdapterRegistrar, RelayError
from relay_plugins.codex.adapter import CodexAdapter
from relay_plugins.codex.address import ADAPTER, check_thread_id
from relay_plugins.codex.tools.server import ToolServer

WITHIN_S = 5.0
"""How long a session is waited for that is not served yet: a host that just started finds it."""


class ToolCalls:
    """Answers `codex.tools`."""

    def __init__(self, adapter: CodexAdapter, register: AdapterRegistrar) -> None:
        self._adapter = adapter
        self._register = register
        self._server = ToolServer(self._acting)

    async def __call__(self, body: msgspec.Raw) -> msgspec.Raw:
        """Answer one line."""
        return msgspec.Raw(await self._server.answer(body))

    async def _acting(self, thread_id: str) -> ActingAgent:
        check_thread_id(thread_id)
        served = await self._register.acting(ADAPTER, thread_id, within_s=0)
        return served or await self._awaited(thread_id)

    async def _awaited(self, thread_id: str) -> ActingAgent:
        looking = asyncio.create_task(
            self._adapter.started(thread_id, codex_home=None, rollout=None)
        )
        try:
            agent = await self._register.acting(ADAPTER, thread_id, within_s=WITHIN_S)
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError, RelayError):
                await looking
        if agent is None:
            why = self._adapter.why_not_seen(thread_id)
            raise RelayError(
                f"this session is not connected to Agent Relay: {why}",
                fix="Try again in a moment; if it stays so, tell your user to run "
                "`agent-relay status`.",
            )
        return agent
