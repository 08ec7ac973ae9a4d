"""The tools of a session, called by the model in a real Codex, in every mode."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay_core.control import call
from relay_core.hub_client import HubClient
from relay_core.places import find_places
from user_commands import PROGRAMS, Relay, as_version, until

if TYPE_CHECKING:
    from relay_plugins.codex.launcher import CodexBinary
    from relay_plugins.codex.testing import AppServerClient, CodexServer, Reply, Request, StubModel

pytestmark = pytest.mark.codex

MODES = {
    "open": ("danger-full-access", "never"),
    "guarded": ("workspace-write", "on-request"),
    "read-only": ("read-only", "never"),
}
NAMESPACE = "mcp__relay"
NUMBERS = itertools.count(1)
NEWER = "9.9.9"
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

    @asynccontextmanager
    async def hub(self) -> AsyncIterator[HubClient]:
        """The hub, wherever it listens now."""
        places = find_places(self.relay.environ, os.getuid())
        url = json.loads(bytes(await call(places.control_socket, "ping")))["hubUrl"]
        async with HubClient(url, places.token_file.read_text().strip()) as hub:
            yield hub

    async def ask(self, path: str) -> Any:
        async with self.hub() as hub:
            return await (hub.agents() if path == "agents" else hub.inbox("operator"))

    async def agent(self, thread: str) -> str:
        """The agent of a thread, as soon as it can be reached."""
        async with asyncio.timeout(60):
            while True:
                for each in await self.ask("agents"):
                    if each.thread_id == thread and each.reachable:
                        return str(each.id)
                await asyncio.sleep(0.1)

    async def call(self, thread: str, name: str, **arguments: Any) -> str:
        """Let the model call a tool in a turn of the user's; what it is told."""
        from relay_plugins.codex.testing import Say, ToolCall

        before = len(self.model.requests())
        tool = ToolCall(name, json.dumps(arguments), NAMESPACE)
        self.model.enqueue(tool, Say("done"))
        await self.codex.start_turn(thread, "please call it")
        requests = await self.model.requests_reach(before + 2, 60)
        await self.codex.rest(thread, timeout_s=60)
        return outputs_of(requests[before + 1])[-1]

    async def offered(self, thread: str, name: str) -> str:
        """Call a tool as soon as Codex offers it: a first turn does not wait for every server."""
        for _ in range(40):
            told = await self.call(thread, name)
            if not told.startswith("unsupported call"):
                return told
            await asyncio.sleep(0.25)
        raise AssertionError(told)

    async def works(self, thread: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool until the host is there again; a model is told to do the same."""
        for _ in range(10):
            told = await self.call(thread, name, **arguments)
            if DOWN not in told and "not connected" not in told:
                return dict(json.loads(told[told.index("{") :]))
        raise AssertionError(told)

    async def tell(self, thread: str, text: str) -> Request:
        """Write to a session's model as its user; the request after what it did then.

        `by_word` says what it does. Mail may come into the session meanwhile.
        """
        await self.codex.rest(thread, timeout_s=60)
        await self.codex.start_turn(thread, text)
        async with asyncio.timeout(60):
            while True:
                for seen in self.model.requests():
                    told = [item.text for item in seen.items if item.kind == "user"]
                    if told and told[-1] == text and seen.newest_user_text is None:
                        return seen
                await asyncio.sleep(0.02)

    async def tool(self, thread: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Tell a session's model to call a tool; what the tool answers."""
        text = f"call {len(self.model.requests())}: {name} {json.dumps(arguments)}"
        told = outputs_of(await self.tell(thread, text))[-1]
        return dict(json.loads(told[told.index("{") :]))

    async def shell(self, thread: str, *commands: str) -> str:
        """Tell a session's model to run commands of ours in its shell; what they print."""
        name = f"told-{len(self.model.requests())}"
        path = f"{PROGRAMS}{os.pathsep}{self.relay.environ['PATH']}"
        typed = "; ".join(f"agent-relay {each}; echo code=$?" for each in commands)
        await self.tell(
            thread, f"run: export PATH={path}; ({typed}) > {name}.new 2>&1; mv {name}.new {name}"
        )
        file = self.cwd / name
        return await asyncio.to_thread(until, name, lambda: file.exists() and file.read_text())

    async def hears(self, thread: str, words: str) -> str:
        """Wait until a user message with these words is in a session's history."""
        async with asyncio.timeout(60):
            while True:
                for item in await self.codex.user_items(thread):
                    if words in item.text:
                        return item.text
                await asyncio.sleep(0.02)

    async def kill_host(self) -> None:
        socket = find_places(self.relay.environ, os.getuid()).control_socket
        os.kill(json.loads(bytes(await call(socket, "ping")))["pid"], signal.SIGKILL)


def by_word(seen: Request) -> Reply | None:
    """A model that does what its user's newest message says, and nothing else."""
    from relay_plugins.codex.testing import ShellCall, ToolCall

    text = seen.newest_user_text or ""
    if found := re.fullmatch(r"call \d+: (\w+) (.*)", text):
        return ToolCall(found[1], found[2], NAMESPACE)
    return ShellCall(text.removeprefix("run: ")) if text.startswith("run: ") else None


class Pipe:
    """What Codex runs for a session's tools, spoken to by its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def write(self, *lines: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.writelines(lines)

    async def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            return dict(json.loads(await self._process.stdout.readline())["result"])

    async def refused(self, thread: str, name: str, **arguments: Any) -> str:
        """Call a tool that cannot do it; what it says."""
        self.write(line(thread, name, **arguments))
        answer = await self.read()
        assert answer["isError"], answer
        return str(answer["content"][0]["text"])

    async def works(self, written: bytes) -> dict[str, Any]:
        """Write a line, the same one again until the host is there; what is answered."""
        for _ in range(20):
            self.write(written)
            answer = await self.read()
            if not answer.get("isError"):
                return dict(answer["structuredContent"])
            text = answer["content"][0]["text"]
            assert DOWN in text or "not connected" in text, text
            await asyncio.sleep(0.1)
        raise AssertionError(answer)


def line(thread: str, name: str, **arguments: Any) -> bytes:
    """A call as Codex writes it, under a name that no other call has."""
    number = next(NUMBERS)
    meta = {"threadId": thread, "callId": f"call_{number}"}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(request).encode() + b"\n"


@asynccontextmanager
async def pipe_of(relay: Relay) -> AsyncIterator[Pipe]:
    process = await asyncio.create_subprocess_exec(
        relay.data / "launcher",
        "mcp",
        env=relay.environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Pipe(process)
    finally:
        await process.communicate(b"")


def outputs_of(request: Request) -> list[str]:
    """What tools have told the model so far."""
    return [item.text for item in request.items if item.kind == "function_call_output"]


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


async def test_the_model_answers_by_tool_in_every_mode_and_through_every_restart(
    desk: Desk, short_path: Path
):
    from relay_plugins.codex.testing import ToolCall
    from relay_plugins.codex.tools.table import TABLE

    # A session begins while there is no host and none can start.
    desk.relay.write_config("no [ toml")
    threads = {"open": await desk.session("open")}
    told = await desk.offered(threads["open"], "relay_status")
    assert DOWN in told
    assert "agent-relay up" in told

    # A host can start again: the same session's tools work.
    desk.relay.write_config("[hub]\nport = 0\n")
    status = await desk.works(threads["open"], "relay_status")
    threads |= {mode: await desk.session(mode) for mode in ("guarded", "read-only")}
    agents = {mode: await desk.agent(thread) for mode, thread in threads.items()}
    assert status["agentId"] == agents["open"]

    def answers(seen: Request) -> ToolCall | None:
        found = QUESTION.search(seen.newest_user_text or "")
        if found is None:
            return None
        arguments = {"messageId": int(found[1]), "body": f"yes, to {found[1]}"}
        return ToolCall("relay_reply", json.dumps(arguments), NAMESPACE)

    desk.model.script = answers
    targets = ("send", "tag:codex", "are you there?", "--wait", "60")
    sent = (await desk.type(*targets))["id"]
    async with asyncio.timeout(60):
        while len(mail := await desk.ask("operator")) < len(MODES):
            await asyncio.sleep(0.1)
    for thread in threads.values():
        await desk.codex.rest(thread, timeout_s=60)
    assert {one.from_ for one in mail} == set(agents.values())
    assert {(one.body, one.reply_to) for one in mail} == {(f"yes, to {sent}", sent)}
    shown = {agent.id: agent.approval for agent in await desk.ask("agents")}
    assert shown == {agent: mode for mode, agent in agents.items()}

    # The host is killed between two calls.
    await desk.kill_host()
    for mode, thread in threads.items():
        assert (await desk.works(thread, "relay_status"))["agentId"] == agents[mode]

    # A host of another version takes over.
    newer = {"PYTHONPATH": str(as_version(NEWER, short_path / "newer"))}
    up = ("up", "--detach", "--json")
    took_over = await asyncio.to_thread(desk.relay, *up, environ=newer)
    assert took_over.worked().json["version"] == NEWER
    for mode, thread in threads.items():
        assert (await desk.works(thread, "relay_status"))["agentId"] == agents[mode]

    # While none can start, every tool says what to do.
    desk.relay.write_config("no [ toml")
    await desk.kill_host()
    async with pipe_of(desk.relay) as pipe:
        pipe.write(*(line(threads["open"], tool.name) for tool in TABLE))
        answers = [await pipe.read() for _ in TABLE]
    said = [str(each["content"][0]["text"]) for each in answers]
    said.append(await desk.call(threads["guarded"], "relay_status"))
    assert [each for each in said if DOWN not in each or "agent-relay up" not in each] == []

    asked = [each.method for each in desk.codex.notifications if "equest" in each.method]
    assert asked == [], "nobody was asked for an approval"
    outputs = {each for seen in desk.model.requests() for each in outputs_of(seen)}
    assert not any("requires approval" in each for each in outputs), outputs


@asynccontextmanager
async def official_client(relay: Relay) -> AsyncIterator[Any]:
    """The official client, on the very command that Codex runs."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    command = [str(relay.data / "launcher"), "mcp"]
    server = StdioServerParameters(command=command[0], args=command[1:], env=relay.environ)
    async with (
        stdio_client(server, errlog=sys.__stderr__) as streams,
        ClientSession(*streams) as session,
    ):
        await session.initialize()
        yield session


async def test_the_official_client_agrees_with_every_answer(desk: Desk):
    from relay_plugins.codex.testing import Until

    await desk.type("up", "--detach")
    threads = [await desk.session("open") for _ in range(2)]
    own, other = [await desk.agent(thread) for thread in threads]

    # No turn ends meanwhile: its last words would be an answer, too.
    gate = threading.Event()
    desk.model.script = lambda _: Until(gate)

    async with official_client(desk.relay) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

        async def use(name: str, thread: str = threads[0], once: str = "", **given: Any) -> Any:
            meta = {"threadId": thread, **({"callId": once} if once else {})}
            result = await client.call_tool(name, given, meta=meta)
            # The client has held what is structured against the tool's own schema.
            return result.content[0].text if result.is_error else result.structured_content

        for tool in tools.values():
            hints = tool.annotations
            assert tool.title
            assert tool.description
            assert hints.read_only_hint in (True, False)
            assert (hints.destructive_hint, hints.open_world_hint) == (False, False)

        # Reading, and naming oneself.
        listed = await use("relay_agents", target="tag:codex")
        assert {each["id"] for each in listed["agents"]} == {own, other}
        page = await use("relay_agents", limit=1)
        assert (await use("relay_agents", limit=1, after=page["after"]))["after"] == ""
        assert (await use("relay_label", label="ada"))["label"] == "ada"
        assert set((await use("relay_tags", tags=["x", " y "]))["tags"]) >= {"codex", "x", "y"}
        assert "No agent" in await use("relay_send", target="nobody", body="?")

        # Sending twice under one name is sending once; what arrives is answered.
        sent = await use("relay_send", once="call_1", target=other, body="hello", subject="s")
        again = await use("relay_send", once="call_1", target=other, body="hello", subject="s")
        assert again["messageId"] == sent["messageId"]
        got = await use("relay_inbox", threads[1])
        assert [each["body"] for each in got["messages"]] == ["hello"]
        answer = {"messageId": sent["messageId"], "body": "hi"}
        replied = await use("relay_reply", threads[1], **answer)
        assert [each["agentId"] for each in replied["deliveries"]] == [own]
        spoken = await use("relay_thread", messageId=sent["messageId"], limit=1)
        assert spoken["after"] == sent["messageId"]
        assert [each["agentId"] for each in spoken["messages"][0]["receipts"]] == [other]
        assert got["messages"][0]["receipts"] == []
        assert "yourself" in await use("relay_reply", **answer)

        # A question is answered by the first reply.
        asked = await use("relay_ask", target=other, body="why?", subject="s")
        assert "comes to this session by itself" in asked["note"]
        await use("relay_reply", threads[1], messageId=asked["messageId"], body="so")
        told = (await use("relay_thread", messageId=asked["messageId"]))["messages"][-1]
        assert (told["body"], told["replyTo"]) == ("so", asked["messageId"])
        became = await use("relay_inbox", messageId=asked["messageId"])
        (receipt,) = became["messages"][0]["receipts"]
        assert (receipt["agentId"], receipt["answer"]) == (other, told["id"])
        assert f"answered by message {told['id']}" in receipt["told"]

        # Long texts come in pieces.
        long = await use("relay_send", target="operator", body="0123456789" * 3_000)
        mail = await use("relay_thread", messageId=long["messageId"])
        assert mail["messages"][0]["bodyNext"] == 2_000
        piece = await use("relay_inbox", messageId=long["messageId"], offset=20_000)
        assert (len(piece["messages"][0]["body"]), piece["messages"][0]["bodyNext"]) == (10_000, 0)

        # Work.
        work = {
            "messageId": (await use("relay_send", target=other, body="w", claimable=True))[
                "messageId"
            ]
        }
        assert (await use("relay_claim", threads[1], **work))["state"] == "held"
        assert (await use("relay_status", threads[1]))["claims"] == [work["messageId"]]
        done = await use("relay_complete", threads[1], result="r", **work)
        assert (done["state"], await use("relay_complete", threads[1], **work)) == ("done", done)
        assert f"as message {done['resultId']}" in done["note"]
        told = (await use("relay_inbox"))["messages"][-1]
        assert (told["id"], told["body"], told["replyTo"]) == (
            done["resultId"],
            "r",
            work["messageId"],
        )
        assert "Leave it" in await use("relay_claim", threads[1], **work)
        assert "does not hold" in await use("relay_fail", threads[1], reason="x", **work)
        other_work = await use("relay_send", target=own, body="w", claimable=True)
        assert "Name another" in other_work

        # A pair.
        pair = await use("relay_pair_invite", target=other, objective="o")
        assert (pair["state"], pair["partner"]) == ("pending", other)
        assert "relay_pair_accept" in await use("relay_pair_send", body="too early")
        assert (await use("relay_pair_accept", threads[1]))["state"] == "active"
        assert (await use("relay_pair_send", body="b"))["deliveries"][0]["agentId"] == other
        assert (await use("relay_pair_hang_up", threads[1]))["state"] == "ended"
        assert "in no pair" in await use("relay_pair_hang_up")
        await use("relay_pair_invite", target=own, thread=threads[1])
        assert (await use("relay_pair_reject"))["reason"] == "rejected"

        # What no model should write, and no other client.
        assert "Nothing was done" in await use("relay_reply", messageId="x", body="b")
        assert "Nothing was done" in await use("relay_send", to=other, body="b")
        stranger = await use("relay_status", thread="0195-nobody")
        assert "not connected" in stranger
        nobody = await client.call_tool("relay_status", {})
        assert nobody.is_error


async def test_a_question_is_answered_by_tool_or_by_the_final_message_of_its_turn(desk: Desk):
    from relay_plugins.codex.testing import Say, ToolCall, Until

    await desk.type("up", "--detach")
    threads = {mode: await desk.session(mode) for mode in MODES}
    agents = {mode: await desk.agent(thread) for mode, thread in threads.items()}
    gate = threading.Event()

    def tool(name: str, **arguments: object) -> ToolCall:
        return ToolCall(name, json.dumps(arguments), NAMESPACE)

    def answers(seen: Request) -> Reply | None:
        text = seen.newest_user_text or ""
        asked = QUESTION.search(text)
        if asked is None:  # the user's own turn, or what follows a tool
            return Until(gate) if "my secret" in text or number_of(seen, "ask the other") else Say()
        number = int(asked[1])
        if "by tool" in text:
            return tool("relay_reply", messageId=number, body="told by tool")
        if "ask the other" in text:
            return tool("relay_send", target=agents["guarded"], body="and you?")
        if "and you?" in text:
            return tool("relay_reply", messageId=number, body="I am fine")
        if "I am fine" in text:
            first = number_of(seen, "ask the other")
            return tool("relay_reply", messageId=first, body="the other one is fine")
        return Say("my secret thought" if "joined" in text else "the last words")

    def number_of(seen: Request, body: str) -> int:
        found = [QUESTION.search(item.text) for item in seen.items if body in item.text]
        return next((int(each[1]) for each in found if each), 0)

    desk.model.script = answers

    # In every mode: nothing but the final message, then the tool.
    by_words = await desk.type("ask", "tag:codex", "how are you?", "--wait", "60")
    assert by_words["complete"]
    assert {each["agentId"] for each in by_words["answers"]} == set(agents.values())
    assert {each["text"] for each in by_words["answers"]} == {"the last words"}
    for _ in range(10):  # a session's first turns do not wait for its tools
        by_tool = await desk.type("ask", "tag:codex", "answer by tool", "--wait", "60")
        told = {each["text"] for each in by_tool["answers"]}
        if told == {"told by tool"}:
            break
    assert told == {"told by tool"}

    # Into a turn of the user's: nothing of it is given away.
    await desk.codex.rest(threads["open"], timeout_s=60)
    before = len(desk.model.requests())
    await desk.codex.start_turn(threads["open"], "this is my secret question")
    await desk.model.requests_reach(before + 1, 60)
    ask = ("ask", agents["open"], "has it joined?", "--wait", "60", "--json")
    joined = await asyncio.to_thread(desk.relay, *ask)
    (left,) = joined.json["answers"]
    assert (joined.code, left["state"]) == (5, "ended_without_reply")
    assert left["reason"] == "joined_a_turn"
    store = b"".join(each.read_bytes() for each in desk.relay.data.glob("hub.sqlite*"))
    assert b"has it joined?" in store
    assert b"my secret" not in store

    # Two sessions hold a conversation that one question began.
    talk = await desk.type("ask", agents["open"], "ask the other", "--wait", "60")
    assert [each["text"] for each in talk["answers"]] == ["the other one is fine"]
    gate.set()
    said = [item.text for seen in desk.model.requests() for item in seen.items]
    assert "my secret thought" in said, "it was said all the same"

    asked = [each.method for each in desk.codex.notifications if "equest" in each.method]
    assert asked == [], "nobody was asked for an approval"


async def test_two_that_always_answer_each_other_are_stopped_and_a_person_is_told_once(desk: Desk):
    from relay_plugins.codex.testing import Say, ToolCall

    await desk.type("up", "--detach")
    threads = [await desk.session("open") for _ in range(2)]
    own, other = [await desk.agent(thread) for thread in threads]
    for thread in threads:
        await desk.offered(thread, "relay_status")

    answered: set[str] = set()

    def answers(seen: Request) -> Say | ToolCall:
        # All of what was said: a message may have joined the turn before the tool's output came.
        said = "\n".join(item.text for item in seen.items if item.kind == "user")
        asked = [each for each in QUESTION.findall(said) if each not in answered]
        asked += [f"{each} again" for each in re.findall(r"go on from (\d+)", said)]
        left = [each for each in asked if each not in answered]
        if not left:
            return Say("done")
        answered.add(left[-1])
        number = int(left[-1].removesuffix(" again"))
        arguments = {"messageId": number, "body": "and what do you say to that?"}
        return ToolCall("relay_reply", json.dumps(arguments), NAMESPACE)

    async def told() -> list[Any]:
        return [mail for mail in await desk.ask("operator") if mail.type == "guard.stopped"]

    async def are_stopped(notices: int) -> None:
        try:
            async with asyncio.timeout(60):
                while len(await told()) < notices:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            spoken = (await desk.type("thread", str(first["id"])))["messages"]
            why = await desk.type("show", str(spoken[-1]["id"]), "--why")
            asked = [seen.items[-3:] for seen in desk.model.requests()[-4:]]
            pytest.fail(f"the last message: {why}; the model was asked last: {asked}")
        for thread in threads:
            await desk.codex.rest(thread, timeout_s=60)
        assert len(await told()) == notices

    desk.model.script = answers
    first = await desk.type("send", other, "what do you say?", "--from", own)
    await are_stopped(1)
    (guard,) = (await desk.type("guard"))["guards"]
    assert (guard["kind"], guard["subject"], guard["reason"]) == (
        "conversation",
        str(first["id"]),
        "hops",
    )
    spoken = (await desk.type("thread", str(first["id"])))["messages"]
    assert len(spoken) == 9, "a message and eight answers in a row"
    outputs = [each for seen in desk.model.requests() for each in outputs_of(seen)]
    assert any("Stop writing here" in each for each in outputs), outputs

    # A person lets them go on; they are stopped again, and told of once more.
    await desk.type("guard", "reset", str(first["id"]))
    last = spoken[-1]
    whose = threads[[own, other].index(last["to"])]
    await desk.codex.start_turn(whose, f"go on from {last['id']}")
    await are_stopped(2)
    spoken = (await desk.type("thread", str(first["id"])))["messages"]
    assert len(spoken) == 17


async def test_a_line_that_comes_twice_acts_once_whatever_becomes_of_the_host_between(desk: Desk):
    await desk.type("up", "--detach")
    mine, theirs = [await desk.session("open") for _ in range(2)]
    own, other = await desk.agent(mine), await desk.agent(theirs)
    question = (await desk.type("send", own, "a question"))["id"]
    works = [(await desk.type("send", other, f"work {n}", "--claimable"))["id"] for n in range(2)]
    done, failed = works

    # What an answer says besides, and what later lines change.
    changing = {"untilMs": 0, "label": "", "tags": []}

    async with pipe_of(desk.relay) as pipe:

        async def acts_once(*lines: bytes) -> list[dict[str, Any]]:
            """Write each line twice, and once more to a host that was started after a kill."""
            told: list[list[dict[str, Any]]] = []
            for written in (lines, lines, lines):
                if len(told) == 2:
                    await desk.kill_host()
                answers = [await pipe.works(each) for each in written]
                told.append([{**each, **changing} for each in answers])
            assert told[0] == told[1] == told[2]
            return told[0]

        sent, asked, *_ = await acts_once(
            line(mine, "relay_send", target=other, body="sent once"),
            line(mine, "relay_ask", target=other, body="asked once"),
            line(mine, "relay_reply", messageId=question, body="replied once"),
            line(theirs, "relay_claim", messageId=done),
            line(theirs, "relay_claim", messageId=failed),
            line(mine, "relay_label", label="ada"),
            line(mine, "relay_tags", tags=["x"]),
            line(mine, "relay_pair_invite", target=other, objective="invited once"),
        )
        await acts_once(
            line(theirs, "relay_pair_accept"),
            line(mine, "relay_pair_send", body="told once"),
            line(theirs, "relay_complete", messageId=done),
            line(theirs, "relay_fail", messageId=failed, reason="no way"),
        )
        (ended,) = await acts_once(line(theirs, "relay_pair_hang_up", pairId=await pair_of(desk)))

        # The host is killed while it works on one.
        last = line(mine, "relay_send", target="operator", body="sent into a kill")
        pipe.write(last)
        await desk.kill_host()
        with suppress(AssertionError):
            await pipe.read()
        kept = await pipe.works(last)

    assert asked["messageId"] == sent["messageId"] + 1
    async with desk.hub() as hub:
        every = [await hub.message(number) for number in range(1, kept["messageId"] + 1)]
        claims = [(await hub.message(number)).claim for number in works]
        pairs = await hub.pairs()
        agent = await hub.agent(own)
    bodies = [each.body for each in every]
    once = ("sent once", "asked once", "replied once", "told once", "sent into a kill")
    assert {body: bodies.count(body) for body in once} == dict.fromkeys(once, 1)
    news = [each.type for each in every if each.pair_id and each.type != "pair.message"]
    assert sorted(map(str, news)) == ["pair.accepted", "pair.ended", "pair.invite"]
    assert [(each.id, each.state) for each in pairs] == [(ended["pairId"], "ended")]
    assert claims == ["done", "failed"]
    assert (agent.label, "x" in agent.tags) == ("ada", True)


async def pair_of(desk: Desk) -> str:
    """The only pair that there is."""
    async with desk.hub() as hub:
        (pair,) = await hub.pairs()
    return pair.id


@pytest.mark.parametrize("way", ["tools", "slash forms"])
async def test_two_sessions_pair_talk_and_part_and_no_third_has_a_say(desk: Desk, way: str):
    await desk.type("up", "--detach")
    ann, ben, third = [await desk.session("open") for _ in range(3)]
    partner, stranger = await desk.agent(ben), await desk.agent(third)
    await desk.agent(ann)
    desk.model.script = by_word
    await desk.offered(ann, "relay_status")
    await desk.offered(ben, "relay_status")

    async def standing() -> tuple[str, int]:
        """How the pair stands, and how many messages it has."""
        async with desk.hub() as hub:
            (pair,) = await hub.pairs()
            said = [each for each in await hub.inbox(partner) if each.pair_id]
        return str(pair.state), len(said)

    async def a_third_is_refused(pair: str, state: str) -> None:
        before = await standing()
        if way == "tools":
            async with pipe_of(desk.relay) as pipe:
                steps = [("accept", {}), ("reject", {}), ("send", {"body": "x"}), ("hang_up", {})]
                for step, more in steps:
                    told = await pipe.refused(third, f"relay_pair_{step}", pairId=pair, **more)
                    assert f"{stranger[1:]} is not in {pair}" in told
                pipe.write(line(third, "relay_status"))
                assert (await pipe.read())["structuredContent"]["pairId"] == ""
        else:
            steps = [f"/pair {each} {pair}" for each in ("accept", "reject", "hangup")]
            told = await desk.shell(third, *steps, f"/pair send {pair} x", "/pair status")
            assert re.findall(r"code=(\d)", told) == ["1", "1", "1", "1", "0"]
            assert told.count("is not in") == 4
            assert "no open pairs" in told
        assert await standing() == before
        assert before[0] == state

    async def takes(thread: str, step: str, slash: str, **arguments: Any) -> None:
        if way == "tools":
            await desk.tool(thread, f"relay_pair_{step}", **arguments)
        else:
            assert "code=0" in await desk.shell(thread, slash)

    await takes(ann, "invite", f"/pair {partner} 'Debug it'", target=partner, objective="Debug it")
    pair = await pair_of(desk)
    await desk.hears(ben, "Debug it")
    await a_third_is_refused(pair, "pending")
    await takes(ben, "accept", "/pair accept")
    await desk.hears(ann, "accepted")
    await a_third_is_refused(pair, "active")
    await takes(ann, "send", f"/pair send {pair} 'A race?'", body="A race?")
    assert pair in await desk.hears(ben, "A race?")
    await takes(ben, "hang_up", "/disconnect")
    await desk.hears(ann, "hung up")
    await a_third_is_refused(pair, "ended")
