"""What a model types in its session's shell: as that session's agent, or told why not."""

import asyncio
import os
import re
import shlex
from typing import Any

import pytest

from user_commands import PROGRAMS, Relay, until

pytestmark = pytest.mark.codex


@pytest.fixture
async def shell(relay: Relay) -> str:
    """A running hub with one other agent; the variables that lead a shell to it."""
    report = await asyncio.to_thread(relay.up)
    await asyncio.to_thread(relay.register, "builder", report["url"])
    path = f"{PROGRAMS}{os.pathsep}{relay.environ['PATH']}"
    return f"export HOME={shlex.quote(str(relay.home))} PATH={shlex.quote(path)}; "


async def run_in_shell(codex: Any, stub_model: Any, thread: str, command: str) -> str:
    """Let the model run a command; answer what the model is told of it."""
    from relay_plugins.codex.testing import Say, ShellCall

    before = len(stub_model.requests())
    stub_model.enqueue(ShellCall(command), Say("done"))
    await codex.start_turn(thread, "please run it")
    requests = await stub_model.requests_reach(before + 2, 60)
    return "\n".join(item.text for item in requests[-1].items)


async def test_the_slash_forms_in_a_models_shell_are_its_agents(
    relay: Relay, codex_server: Any, stub_model: Any, workplace: Any, shell: str
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        attach = ("attach", "--app-server", codex_server.address, "--thread", thread, "--json")
        done = await asyncio.to_thread(relay.codex, *attach)
        agent = done.worked().json["attached"][0]["agentId"]
        words = ("send builder hello", "/pair builder 'fix it'", "/label fixer", "/status")
        commands = "; ".join(f"agent-relay {each}" for each in words)
        typed = f"{shell}({commands}) > told.new 2>&1; mv told.new told"
        await run_in_shell(codex, stub_model, thread, typed)
        file = workplace.cwd / "told"
        told = await asyncio.to_thread(until, "the end", lambda: file.exists() and file.read_text())
        sandboxed = await codex.start_thread(workplace.cwd, sandbox="read-only")
        refused = await run_in_shell(
            codex, stub_model, sandboxed, f"{shell}agent-relay send builder secret; echo code=$?"
        )

    assert f"sent as {agent}" in told
    assert f"{agent} has the label fixer" in told
    assert re.search(rf"^agent +{agent}$", told, re.MULTILINE)
    mail = (await asyncio.to_thread(relay, "inbox", "builder", "--json")).worked().json["messages"]
    assert [one["from"] for one in mail] == [agent, agent]
    assert "fix it" in mail[1]["body"]
    (shown,) = [
        one
        for one in (await asyncio.to_thread(relay, "agents", "--json")).worked().json["agents"]
        if one["id"] == agent
    ]
    assert shown["label"] == "fixer"
    assert "may not open any socket" in refused
    assert "code=3" in refused
