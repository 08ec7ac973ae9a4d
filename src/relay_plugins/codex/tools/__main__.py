"""Answers one line of an MCP client without a host: ``python -m relay_plugins.codex.tools LINE``.

The pipe that Codex talks to asks this while no host answers, so that a session that starts then
knows its tools all the same.
"""

from __future__ import annotations

import asyncio
import sys

from relay_core import ActingAgent, RelayError
from relay_plugins.codex.tools.server import ToolServer


async def nobody(thread_id: str) -> ActingAgent:
    """Find nobody: without a host no session is served."""
    raise RelayError(
        f"no host of Agent Relay serves thread {thread_id[:64]}",
        fix="Tell your user to run `agent-relay up --detach`.",
    )


if __name__ == "__main__":
    answer = asyncio.run(ToolServer(nobody).answer(sys.argv[1].encode()))
    sys.stdout.buffer.write(answer + b"\n")
