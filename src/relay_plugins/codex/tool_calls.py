"""What the operation `codex.tools` is answered: one line of a session's MCP client."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import msgspec

from relay_core import ActingAgent, AdapterRegistrar, RelayError
from relay_plugins.codex.adapter import CodexAdapter, EndsWithItsTurn
from relay_plugins.codex.address import ADAPTER, check_thread_id
from relay_plugins.codex.tools.server import ToolServer

WITHIN_S = 5.0
"""How long a session is waited for that is not served yet: a host that just started finds it."""

LOOK_AGAIN = "Try again in a moment; if it stays so, tell your user to run `agent-relay status`."


class ToolLine(msgspec.Struct, frozen=True):
    """The body of `codex.tools`: the client's line, and the process that started the pipe."""

    request: msgspec.Raw
    parent: int = 0


class ToolCalls:
    """Answers `codex.tools`."""

    def __init__(self, adapter: CodexAdapter, register: AdapterRegistrar) -> None:
        self._adapter = adapter
        self._register = register

    async def __call__(self, body: msgspec.Raw) -> msgspec.Raw:
        """Answer one line; a decode error where the body holds none."""
        line = msgspec.json.decode(body, type=ToolLine)
        server = ToolServer(partial(self._acting, parent=line.parent))
        return msgspec.Raw(await server.answer(line.request))

    async def _acting(self, thread_id: str, *, parent: int) -> ActingAgent:
        check_thread_id(thread_id)
        served = await self._register.acting(ADAPTER, thread_id, within_s=0)
        return served or await self._awaited(thread_id, parent)

    async def _awaited(self, thread_id: str, parent: int) -> ActingAgent:
        """Let the adapter look for a session, and wait until it is served."""
        async with contextlib.AsyncExitStack() as ending:
            looking = asyncio.create_task(
                self._adapter.started(thread_id, codex_home=None, rollout=None, parent=parent)
            )
            found = asyncio.create_task(
                self._register.acting(ADAPTER, thread_id, within_s=WITHIN_S)
            )
            ending.push_async_callback(_end, looking, found)
            await asyncio.wait({looking, found}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done() and isinstance(looking.exception(), EndsWithItsTurn):
                raise RelayError(
                    "a session that ends with its turn takes no part in Agent Relay",
                    fix="There is nothing to mend; tell your user if it matters.",
                )
            agent = await found
        if agent is None:
            why = self._adapter.why_not_seen(thread_id)
            detail = f"this session is not connected to Agent Relay: {why}"
            raise RelayError(detail, fix=LOOK_AGAIN)
        return agent


async def _end(*tasks: asyncio.Task[object]) -> None:
    """Cancel what is still under way; what it raises was seen, or concerns nobody any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
