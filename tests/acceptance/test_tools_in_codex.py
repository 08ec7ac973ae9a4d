"""The tools of a session, called by the model in a real Codex: in every mode, through every fault."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from user_commands import Relay, until

if TYPE_CHECKING:
    from relay_plugins.codex.launcher import CodexBinary
    from relay_plugins.codex.testing import AppServerClient, CodexServer, Request, StubModel

pytestmark = pytest.mark.codex

MODES = {
    "open": ("danger-full-access", "never"),
    "guarded": ("workspace-write", "on-request"),
    "read-only": ("read-only", "never"),
}
NAMESPACE = "mcp__relay"
QUESTION = re.compile(r'Message: "(\d+)"')
DOWN = "Call the tool again"


@dataclass
class Desk:
    """Codex with the plugin installed, and the relay's commands of the same user."""

    relay: Relay
    server: CodexServer
    codex: AppServerClient
    model: StubModel
    cwd: Path

    async def type(self, *arguments: str) -> Any:
        done = await asyncio.to_thread(self.relay, *arguments, "--json")
        return done.worked().json

    async def session(self, mode: str) -> str:
        sandbox, approval = MODES[mode]
        return await self.codex.start_thread(self.cwd, sandbox=sandbox, approval_policy=approval)

    async def agent(self, thread: str) -> str:
        """The agent of a thread, as soon as it can be reached."""

        def find() -> str:
            listed = self.relay("agents", "--json").worked().json["agents"]
            mine = [each["id"] for each in listed if each["threadId"] == thread]
            return str(mine[0]) if mine and self._reachable(listed, thread) else ""

        return await asyncio.to_thread(until, "the session is an agent", find)

    def _reachable(self, listed: list[dict[str, Any]], thread: str) -> bool:
        return any(each["reachable"] for each in listed if each["threadId"] == thread)

    async def call(self, thread: str, name: str, **arguments: Any) -> str:
        """Let the model call a tool in a turn of the user's; what it is told."""
        from relay_plugins.codex.testing import Say, ToolCall

        before = len(self.model.requests())
        tool = ToolCall(name, json.dumps(arguments), NAMESPACE)
        self.model.enqueue(tool, Say("done"))
        await self.codex.start_turn(thread, "please call it")
        requests = await self.model.requests_reach(before + 2, 60)
        await self.codex.rest(thread, timeout_s=60)
        return output(requests[before + 1])

    async def works(self, thread: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool until the host is there again; a model is told to do the same."""
        for _ in range(10):
            told = await self.call(thread, name, **arguments)
            if DOWN not in told and "not connected" not in told:
                return dict(json.loads(told[told.index("{") :]))
        raise AssertionError(told)

    async def kill_host(self) -> None:
        os.kill((await self.type("status"))["host"]["pid"], signal.SIGKILL)


def output(request: Request) -> str:
    """What a tool told the model last."""
    told = [item.text for item in request.items if item.kind == "function_call_output"]
    return told[-1]


@pytest.fixture
async def desk(
    short_path: Path, codex_binary: CodexBinary, stub_model: StubModel
) -> AsyncIterator[Desk]:
    from relay_plugins.codex.testing import CodexServer, config_toml, write_config

    codex_home, cwd = short_path / "c", short_path / "w"
    cwd.mkdir()
    write_config(codex_home, config_toml(stub_model.base_url, trusted=[cwd]))
    relay = Relay(short_path / "home")
    relay.environ |= {
        "CODEX_HOME": str(codex_home),
        "AGENT_RELAY_CODEX_BIN": str(codex_binary.path),
        "PATH": codex_binary.path_variable(relay.environ),
    }
    relay.was_up = True
    relay.write_config("[hub]\nport = 0\n")
    # Where a plain `codex` puts its socket, so that every host finds it by itself.
    place = codex_home / "app-server-control" / "app-server-control.sock"
    place.parent.mkdir()
    server = CodexServer(
        codex_binary, codex_home, address=f"unix://{place}", environ=relay.environ, cwd=cwd
    )
    try:
        install = ("install", "--yes", "--no-start-at-login", "--json")
        (await asyncio.to_thread(relay.codex, *install)).worked()
        await asyncio.to_thread(relay, "down")
        async with server, server.client(name="codex-tui") as codex:
            yield Desk(relay, server, codex, stub_model, cwd)
    finally:
        relay.write_config("[hub]\nport = 0\n")
        await asyncio.to_thread(relay.end)


async def test_the_model_answers_by_tool_in_every_mode_and_through_every_restart(desk: Desk):
    from relay_plugins.codex.testing import ToolCall

    # A session begins while there is no host and none can start.
    desk.relay.write_config("no [ toml")
    threads = {mode: await desk.session(mode) for mode in MODES}
    told = await desk.call(threads["open"], "relay_status")
    assert DOWN in told
    assert "agent-relay up" in told

    # A host can start again: the same session's tools work.
    desk.relay.write_config("[hub]\nport = 0\n")
    status = await desk.works(threads["open"], "relay_status")
    agents = {mode: await desk.agent(thread) for mode, thread in threads.items()}
    assert status["agentId"] == agents["open"]

    def answers(seen: Request) -> ToolCall | None:
        found = QUESTION.search(seen.newest_user_text or "")
        if found is None:
            return None
        arguments = {"messageId": int(found[1]), "body": f"yes, to {found[1]}"}
        return ToolCall("relay_reply", json.dumps(arguments), NAMESPACE)

    desk.model.script = answers
    for mode, thread in threads.items():
        sent = (await desk.type("send", agents[mode], "are you there?", "--wait", "60"))["id"]
        wanted = f"yes, to {sent}"

        async def answered(wanted: str = wanted) -> bool:
            mail = (await desk.type("inbox", "operator"))["messages"]
            return any(one["body"] == wanted for one in mail)

        async with asyncio.timeout(60):
            while not await answered():
                await asyncio.sleep(0.1)
        await desk.codex.rest(thread, timeout_s=60)
    mail = (await desk.type("inbox", "operator"))["messages"]
    assert [one["from"] for one in mail] == list(agents.values()), "one answer of each"

    # The host is killed between two calls.
    await desk.kill_host()
    for mode, thread in threads.items():
        assert (await desk.works(thread, "relay_status"))["agentId"] == agents[mode]

    asked = [each.method for each in desk.codex.notifications if "equest" in each.method]
    assert asked == [], "nobody was asked for an approval"
    outputs = [item.text for seen in desk.model.requests() for item in seen.items]
    assert not any("requires approval" in text for text in outputs)


@asynccontextmanager
async def official_client(relay: Relay) -> AsyncIterator[Any]:
    """The official client, on the very command that Codex runs."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    command = [str(relay.data / "launcher"), "mcp"]
    server = StdioServerParameters(command=command[0], args=command[1:], env=relay.environ)
    async with stdio_client(server, errlog=sys.__stderr__) as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            yield session


async def test_the_official_client_agrees_with_every_answer(desk: Desk):
    await desk.type("up", "--detach")
    threads = [await desk.session("open") for _ in range(2)]
    own, other = [await desk.agent(thread) for thread in threads]

    async with official_client(desk.relay) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

        async def call(name: str, thread: str = threads[0], *, id: str = "", **given: Any) -> Any:
            meta = {"threadId": thread, **({"callId": id} if id else {})}
            result = await client.call_tool(name, given, meta=meta)
            text = result.content[0].text
            return f"refused: {text}" if result.is_error else result.structured_content

        print(tools.keys(), await call("relay_agents"), own, other)
