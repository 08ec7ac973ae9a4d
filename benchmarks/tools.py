"""A model's tool call: what it adds to the hub's own time, and what a session's pipe costs.

The pipe is run as the user's launcher file runs it, with a host that serves a session of a real
Codex. The same page of an inbox is asked for through it and over HTTP, turn about.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Mapping

import msgspec

from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.connection import Client
from benchmarks.figures import Goal, Round, Row, Section, percentile, row
from benchmarks.hosts import Host, host
from benchmarks.process import MISSING, PROC, memory, memory_alone
from benchmarks.stage import Stage
from relay_core import AgentId, SendRequest, find_places
from relay_plugins.codex.hook_launcher import Target, this_target
from relay_plugins.codex.tools.table import TABLE

MAIL = 10
TOOL = "relay_inbox through the pipe, p50"
HUB = "GET of the same messages, p50"
ADDED = "what the pipe and the host add, p50"
PIPE = "a session's pipe, proportional"
ALONE = "a session's pipe, no other Python"
NO_HOST = "slowest of all tools, no host"
MOST_MS = Goal(most=5)
MOST_MB = Goal(most=6)
MOST_S = Goal(most=3)
QUIET_S = 1.6
"""After so long without a line a pipe has given back what it needs for its work alone."""


async def measure(stage: Stage) -> Section:
    """Measure both ways; where there is no Codex or no /proc, a row says so."""
    codex = wanted_codexes(stage.environ)[0]
    rounds: list[Round] = []
    if isinstance(codex, Missing) or not PROC.exists():
        why = codex.why if isinstance(codex, Missing) else MISSING
        rows: tuple[Row, ...] = (Row(name=ADDED, unit="ms", goal=MOST_MS, missing=why),)
    else:
        async with host(stage, codex, "tools", threads=1) as running:
            (agent_id,) = await running.attach()
            for number in range(MAIL):
                await running.hub.send(SendRequest(to=agent_id, body=f"message {number}"))
            measured = await _rounds(stage, running, agent_id)
        for each in measured:
            stage.say("tools: every tool without a host")
            rounds.append({**each, NO_HOST: await _slowest_without_host(stage)})
        rows = (
            row(ADDED, ADDED, "ms", rounds, goal=MOST_MS),
            row(TOOL, TOOL, "ms", rounds),
            row(HUB, HUB, "ms", rounds),
            row(NO_HOST, NO_HOST, "s", rounds, goal=MOST_S),
            row(PIPE, PIPE, "MB", rounds, goal=MOST_MB),
            row(ALONE, ALONE, "MB", rounds, goal=MOST_MB),
        )
    return Section(
        name="tools",
        title="A tool call",
        rows=rows,
        notes=(
            f"A page of {MAIL} messages, by a line to the pipe, and over one HTTP connection.",
            f"All {len(TABLE)} tools are called at once where no host runs and none can start.",
            "The pipe's memory is its share (PSS) a moment after the calls, in 1,024 KB.",
            "With no other Python, all that it has mapped of Python's own files counts.",
        ),
        rounds=tuple(rounds),
    )


async def _rounds(stage: Stage, running: Host, agent_id: AgentId) -> list[Round]:
    places = find_places(running.environ, os.getuid())
    target = this_target(running.environ, places)
    client = Client(running.hub.url, places.token_file.read_text().strip())
    await client.open()
    pipe = await _pipe(target, running.environ)
    rounds: list[Round] = []
    try:
        for number in range(stage.size.short_rounds):
            stage.say(f"tools: round {number + 1} of {stage.size.short_rounds}")
            asked = await _round(stage, pipe, client, running.threads[0], agent_id)
            rounds.append({**asked, **await _memory(pipe.pid, target)})
    finally:
        client.close()
        await pipe.communicate(b"")  # ends its stdin, and so the pipe
    return rounds


async def _round(
    stage: Stage, pipe: asyncio.subprocess.Process, client: Client, thread: str, agent_id: AgentId
) -> Round:
    """Ask each way in turn."""
    assert pipe.stdin is not None
    assert pipe.stdout is not None
    path = f"/api/messages?for={agent_id}&before={2**53 - 1}&limit={MAIL + 1}"
    tool: list[float] = []
    hub: list[float] = []
    for number in range(stage.size.messages):
        line = _line(number, thread)
        began = time.perf_counter()
        pipe.stdin.write(line)
        answer = await pipe.stdout.readline()
        tool.append((time.perf_counter() - began) * 1_000)
        assert answer.count(b'"bodyChars"') == MAIL, answer
        began = time.perf_counter()
        listed = await client.ask("GET", path)
        hub.append((time.perf_counter() - began) * 1_000)
        assert listed.status == 200, listed.body
        await asyncio.sleep(stage.size.gap_s)
    medians = {TOOL: percentile(tool, 0.5), HUB: percentile(hub, 0.5)}
    return {
        **medians,
        ADDED: medians[TOOL] - medians[HUB],
    }


async def _pipe(target: Target, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Run a pipe as the launcher file does."""
    program = (target.python, "-I", "-S", target.runner, target.tools, target.control_socket)
    return await asyncio.create_subprocess_exec(
        *map(str, program),
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _memory(pid: int, target: Target) -> Round:
    """What a pipe costs at rest: the process that was started, and the one that works for it."""
    await asyncio.sleep(QUIET_S)
    own = str(target.control_socket).encode()
    processes = {pid}
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().split(b"\0")[-2:-1] == [own]:
                processes.add(int(folder.name))
    return {
        PIPE: sum([memory(each).pss for each in processes]) / 1024,
        ALONE: sum([memory_alone(each, "python") for each in processes]) / 1024,
    }


async def _slowest_without_host(stage: Stage) -> float:
    """Seconds until the last of all tools has answered, called at once."""
    folder = stage.socket_folder / "no-host"
    config = folder / ".config" / "agent-relay" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("no [ toml")  # a host that is started ends at once
    environ = {**stage.environ, "HOME": str(folder)}
    environ.pop("AGENT_RELAY_HOME", None)
    pipe = await _pipe(this_target(environ, find_places(environ, os.getuid())), environ)
    assert pipe.stdin is not None
    assert pipe.stdout is not None
    try:
        began = time.perf_counter()
        for number, tool in enumerate(TABLE):
            pipe.stdin.write(_line(number, "t", tool.name))
        for _ in TABLE:
            answer = await pipe.stdout.readline()
            assert b"agent-relay up" in answer, answer
        return time.perf_counter() - began
    finally:
        await pipe.communicate(b"")
        shutil.rmtree(folder)


class _Meta(msgspec.Struct, rename="camel"):
    thread_id: str
    call_id: str


class _Params(msgspec.Struct):
    name: str
    meta: _Meta = msgspec.field(name="_meta")
    arguments: dict[str, int] = {}


class _Request(msgspec.Struct):
    id: int
    params: _Params
    method: str
    jsonrpc: str


def _line(number: int, thread: str, tool: str = "relay_inbox") -> bytes:
    """Write a line as Codex does."""
    meta = _Meta(thread_id=thread, call_id=f"call_{number}")
    params = _Params(name=tool, meta=meta, arguments={"limit": MAIL})
    request = _Request(id=number, params=params, method="tools/call", jsonrpc="2.0")
    return msgspec.json.encode(request) + b"\n"
