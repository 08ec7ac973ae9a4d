"""Publish → listed: how long until a real Codex thread's own history shows a message.

Beside it, in turn and in the same thread, a `turn/start` straight at Codex. One observer, with a
connection of its own, looks into the history for both.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks.child import Child
from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.connection import Client
from benchmarks.figures import Goal, Round, Row, Section, percentile, row
from benchmarks.stage import Stage
from relay_core import Struct, find_places
from relay_core.hub_api import MessageView, SendRequest, SendResponse
from relay_core.messages import AgentId, DeliveryState
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import (
    AppServerClient,
    CodexServer,
    HistoryItem,
    RpcError,
    StubModel,
    config_toml,
    write_config,
)
from relay_plugins.codex.testing.app_server_client import NO_HISTORY_YET

LOOK_S = 0.002
LIMIT_S = 30.0
REST_S = 0.05
"""A pause after each turn, so that neither kind starts in the other's wake."""

NAME = "publish → item listed in the thread"
GOAL = Goal(most=1.3)
NOTES = (
    "The processes are a user's: `agent-relay up`, `agent-relay-codex attach`, `codex app-server`.",
    f"One observer asks for the newest items each {LOOK_S * 1000:g} ms, in one thread for both.",
    "Proved: the sidecar has found the item by itself and the hub has stored the receipt.",
)


async def measure(stage: Stage) -> Section:
    """Measure every Codex that is there; a row says so where one is not."""
    rows: list[Row] = []
    rounds: list[Round] = []
    for wanted in wanted_codexes(stage.environ):
        if isinstance(wanted, Missing):
            rows.append(
                Row(name=f"{NAME}, {wanted.name}", unit="ms", goal=GOAL, missing=wanted.why)
            )
            continue
        found = await _measure_one(stage, wanted)
        rows += _rows(wanted, found)
        rounds += found
    return Section(
        name="listed",
        title="Publish → listed in the real Codex thread (stub model)",
        rows=tuple(rows),
        notes=NOTES,
        rounds=tuple(rounds),
    )


def _rows(codex: CodexBinary, rounds: list[Round]) -> list[Row]:
    version = codex.version
    about = f"Codex {version}"
    direct = f"turn/start → listed, {about}"
    asked = f"turn/start → the model is asked, {about}"
    beside = (f"{version} direct p50",)
    return [
        row(
            f"{NAME}, {about}, p50", f"{version} relay p50", "ms", rounds,
            beside=beside, yardstick=direct, goal=GOAL,
        ),
        row(
            f"publish → proved and stored, {about}, p50", f"{version} proved p50", "ms", rounds,
            beside=beside, yardstick=direct,
        ),
        row(
            f"publish → the model is asked, {about}, p50", f"{version} asked p50", "ms", rounds,
            beside=(f"{version} direct asked p50",), yardstick=asked,
        ),
    ]  # fmt: skip


class Sample(Struct):
    """One message's times in milliseconds."""

    listed: float
    asked: float
    proved: float = 0.0


async def _measure_one(stage: Stage, codex: CodexBinary) -> list[Round]:
    rounds: list[Round] = []
    async with _scene(stage, codex) as scene:
        await scene.direct("warm up")
        await scene.relay("warm up too")
        for number in range(stage.size.rounds):
            stage.say(f"listed: Codex {codex.version}, round {number + 1} of {stage.size.rounds}")
            direct: list[Sample] = []
            relay: list[Sample] = []
            for pair in range(stage.size.pairs):
                direct.append(await scene.direct(f"direct {number}-{pair}."))
                relay.append(await scene.relay(f"relay {number}-{pair}."))
            rounds.append(_figures(codex.version, direct, relay))
    return rounds


def _figures(version: str, direct: list[Sample], relay: list[Sample]) -> Round:
    samples = {
        "direct p50": [each.listed for each in direct],
        "direct asked p50": [each.asked for each in direct],
        "relay p50": [each.listed for each in relay],
        "asked p50": [each.asked for each in relay],
        "proved p50": [each.proved for each in relay],
    }
    return {f"{version} {name}": percentile(took, 0.5) for name, took in samples.items()}


# The scene -----------------------------------------------------------------------------------


class _Up(Struct):
    url: str


class _Attached(Struct):
    agent_id: AgentId


class _AttachAnswer(Struct):
    attached: tuple[_Attached, ...]


class _Entry(Struct):
    item: HistoryItem


class _Page(Struct):
    data: tuple[_Entry, ...]


class _Scene:
    """A thread of a real Codex, a hub and a host, and two ways of bringing a text into it."""

    def __init__(
        self,
        codex: tuple[AppServerClient, AppServerClient],
        model: StubModel,
        hub: Client,
        *,
        thread_id: str,
        agent_id: AgentId,
    ) -> None:
        self._user, self._observer = codex
        self._model = model
        self._hub = hub
        self._thread = thread_id
        self._agent = agent_id

    async def direct(self, text: str) -> Sample:
        """Bring a text in with `turn/start`."""

        async def start() -> None:
            await self._user.start_turn(self._thread, text)

        sample = await self._timed(start, text)
        await self._at_rest()
        return sample

    async def relay(self, text: str) -> Sample:
        """Bring a text in as a message through the hub."""
        body = msgspec.json.encode(SendRequest(to=self._agent, body=text))
        sent: list[SendResponse] = []

        async def publish() -> None:
            answer = await self._hub.ask("POST", "/api/messages", body)
            sent.append(msgspec.json.decode(answer.body, type=SendResponse))

        sample = await self._timed(publish, text)
        proved = await self._proved(sent[0])
        await self._at_rest()
        return msgspec.structs.replace(sample, proved=proved)

    async def _timed(self, begin: Callable[[], Awaitable[None]], text: str) -> Sample:
        asked_before = len(self._model.requests())
        wall_ms, before = time.time() * 1_000, time.perf_counter()
        begun = asyncio.ensure_future(begin())
        async with asyncio.timeout(LIMIT_S):
            while not await self._is_listed(text):  # noqa: ASYNC110 - Codex tells nobody
                await asyncio.sleep(LOOK_S)
            listed = (time.perf_counter() - before) * 1_000
            await begun
            requests = await self._model.requests_reach(asked_before + 1)
        return Sample(listed=listed, asked=requests[asked_before].at_ms - wall_ms)

    async def _is_listed(self, text: str) -> bool:
        try:
            raw = await self._observer.call(
                "thread/items/list",
                {"threadId": self._thread, "limit": 3, "sortDirection": "desc"},
            )
        except RpcError as error:
            if any(words in error.message for words in NO_HISTORY_YET):
                return False
            raise
        return any(text in each.item.text for each in msgspec.json.decode(raw, type=_Page).data)

    async def _proved(self, sent: SendResponse) -> float:
        """How long after its commit the hub knew of the proof, by the hub's clock."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                answer = await self._hub.ask("GET", f"/api/messages/{sent.id}")
                view = msgspec.json.decode(answer.body, type=MessageView)
                (delivery,) = view.deliveries
                if delivery.state is DeliveryState.DELIVERED:
                    return (delivery.delivered_ms or 0) - view.created_at
                await asyncio.sleep(LOOK_S * 5)

    async def _at_rest(self) -> None:
        await self._user.rest(self._thread)
        await asyncio.sleep(REST_S)


@asynccontextmanager
async def _scene(stage: Stage, codex: CodexBinary) -> AsyncGenerator[_Scene]:
    root = stage.socket_folder / codex.version
    project, codex_home = root / "project", root / "codex"
    project.mkdir(parents=True)
    environ = {**stage.environ, "AGENT_RELAY_HOME": str(stage.folder / f"relay-{codex.version}")}
    with StubModel() as model:
        write_config(codex_home, config_toml(model.base_url, approval_policy="never"))
        server = CodexServer(
            codex, codex_home, address=f"unix://{root / 's'}", environ=environ, cwd=project
        )
        up = Child(
            ("-m", "relay_cli", "up", "--port", "0", "--json"), environ=environ, log=root / "up.log"
        )
        async with server, server.client() as user, server.client() as observer, up:
            thread_id = await user.start_thread(project, history_mode="paginated")
            serving = await up.says(_Up)
            agent_id = await _attach(environ, root, server.address, thread_id)
            hub = Client(
                serving.url, find_places(environ, os.getuid()).token_file.read_text().strip()
            )
            await hub.open()
            try:
                yield _Scene((user, observer), model, hub, thread_id=thread_id, agent_id=agent_id)
            finally:
                hub.close()


async def _attach(environ: dict[str, str], root: Path, address: str, thread_id: str) -> AgentId:
    program = (
        "-m", "relay_cli.codex_main", "attach", "--app-server", address, "--thread", thread_id,
        "--json",
    )  # fmt: skip
    async with Child(program, environ=environ, log=root / "attach.log") as attaching:
        (attached,) = (await attaching.says(_AttachAnswer)).attached
    return attached.agent_id
