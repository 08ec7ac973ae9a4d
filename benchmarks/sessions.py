"""Many sessions on one host: what they cost in memory, and in processor time when nothing happens.

The sessions are loaded threads of a real Codex. Both ways of running a host are measured at the
same time, each beside a Codex of its own: with the hub in its process, and alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.child import Child
from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.figures import Goal, Round, Row, Section, row
from benchmarks.hub import hub
from benchmarks.process import MISSING, PROC, cpu_s, memory
from benchmarks.stage import Size, Stage
from relay_core import Struct, find_places
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, DeliveryState, MessageId
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import CodexServer, StubModel, config_toml, write_config

MOST_ROUNDS = 3
LOOK_S = 0.05
LIMIT_S = 60.0

EMBEDDED = "host with its hub"
ALONE = "host alone"
MOST_MB = Goal(most=60)
MOST_KB = Goal(most=100)
MOST_SHARE = Goal(most=1 / 100)
MOST_PERCENT = Goal(most=1)


async def measure(stage: Stage) -> Section:
    """Measure both ways; where there is no Codex or no /proc, a row says so."""
    count = stage.size.sessions
    codex = wanted_codexes(stage.environ)[0]
    rounds: list[Round] = []
    if isinstance(codex, Missing) or not PROC.exists():
        why = codex.why if isinstance(codex, Missing) else MISSING
        name = f"{EMBEDDED}: resident with one session"
        rows: tuple[Row, ...] = (Row(name=name, unit="MB", goal=MOST_MB, missing=why),)
    else:
        for number in range(min(stage.size.rounds, MOST_ROUNDS)):
            stage.say(f"sessions: round {number + 1} of {min(stage.size.rounds, MOST_ROUNDS)}")
            both = (_embedded(stage, codex), _alone(stage, codex))
            embedded, alone = await asyncio.gather(*both)
            rounds.append({**embedded, **alone})
        rows = (*_rows(EMBEDDED, count, rounds), *_rows(ALONE, count, rounds))
    return Section(
        name="sessions",
        title=f"{count} sessions on one host",
        rows=rows,
        notes=_notes(stage),
        rounds=tuple(rounds),
    )  # fmt: skip


def _notes(stage: Stage) -> tuple[str, ...]:
    size = stage.size
    further = size.sessions - 1
    return (
        "Each session is a loaded thread of a real Codex that has had a turn, with the stub model.",
        "Resident (RSS) counts shared pages whole, proportional (PSS) its share of them.",
        f"Memory is read {size.settle_s:g} s after the last registration; 1 KB is 1,024 bytes.",
        f"Each further session: what {further} more sessions add, divided by {further}.",
        f"Idle: user and system time over {size.idle_s:g} s in which nothing happens.",
    )


def _rows(who: str, count: int, rounds: list[Round]) -> tuple[Row, ...]:
    return (
        row(f"{who}: resident with one session", f"{who} rss", "MB", rounds, goal=MOST_MB),
        row(f"{who}: proportional with one session", f"{who} pss", "MB", rounds),
        row(f"{who}: each further session, resident", f"{who} further", "KB", rounds, goal=MOST_KB),
        row(
            f"{who}: each further session, proportional", f"{who} further pss", "KB", rounds,
            beside=(f"{who} pss KB",), yardstick="a process per session, proportional",
            goal=MOST_SHARE,
        ),
        row(f"{who}: the same after a message to each", f"{who} used", "KB", rounds),
        row(
            f"{who}: idle with {count} sessions, of a core", f"{who} idle", "%", rounds,
            goal=MOST_PERCENT,
        ),
    )  # fmt: skip


async def _embedded(stage: Stage, codex: CodexBinary) -> Round:
    async with _sessions(stage, codex, "embedded", {}) as scene:
        return await scene.figures(EMBEDDED, stage.size)


async def _alone(stage: Stage, codex: CodexBinary) -> Round:
    name = "sessions-hub"
    async with hub(stage, name) as running:
        named = {"AGENT_RELAY_URL": running.url, "AGENT_RELAY_TOKEN": running.token}
        async with _sessions(stage, codex, "alone", named) as scene:
            figures = await scene.figures(ALONE, stage.size)
    shutil.rmtree(stage.folder / name)
    return figures


# The scene -----------------------------------------------------------------------------------


class _Up(Struct):
    url: str
    pid: int


class _Attached(Struct):
    agent_id: AgentId


class _AttachAnswer(Struct):
    attached: tuple[_Attached, ...]


class _Scene:
    """Threads of a real Codex, and a host that serves none of them yet."""

    def __init__(
        self,
        root: Path,
        environ: Mapping[str, str],
        codex: CodexServer,
        *,
        threads: tuple[str, ...],
        pid: int,
        client: HubClient,
    ) -> None:
        self._root = root
        self._environ = environ
        self._address = codex.address
        self._threads = threads
        self._pid = pid
        self._hub = client

    async def figures(self, who: str, size: Size) -> Round:
        """Attach one thread, then all; read what the host costs at each step."""
        await self._attach("--thread", self._threads[0])
        await asyncio.sleep(size.settle_s)
        one = memory(self._pid)
        agents = await self._attach()
        await asyncio.sleep(size.settle_s)
        every = memory(self._pid)
        cpu, clock = cpu_s(self._pid), asyncio.get_running_loop().time()
        await asyncio.sleep(size.idle_s)
        used_s = cpu_s(self._pid) - cpu
        idle = 100 * used_s / (asyncio.get_running_loop().time() - clock)
        await self._message_to(agents)
        await asyncio.sleep(size.settle_s)
        used = memory(self._pid)
        further = len(self._threads) - 1
        return {
            f"{who} rss": one.rss / 1024,
            f"{who} pss": one.pss / 1024,
            f"{who} pss KB": one.pss,
            f"{who} further": (every.rss - one.rss) / further,
            f"{who} further pss": (every.pss - one.pss) / further,
            f"{who} used": (used.rss - one.rss) / further,
            f"{who} idle": idle,
        }

    async def _attach(self, *which: str) -> tuple[AgentId, ...]:
        program = ("-m", "relay_cli.codex_main", "attach", "--app-server", self._address, *which)
        log = self._root / "attach.log"
        async with Child((*program, "--json"), environ=self._environ, log=log) as attaching:
            answer = await attaching.says(_AttachAnswer)
        assert len(answer.attached) == (1 if which else len(self._threads)), answer
        return tuple(each.agent_id for each in answer.attached)

    async def _message_to(self, agents: tuple[AgentId, ...]) -> None:
        """Send one message to each and wait until all have it."""
        for agent_id in agents:
            sent = await self._hub.send(SendRequest(to=agent_id, body=f"to {agent_id}"))
            async with asyncio.timeout(LIMIT_S):
                while not await self._is_delivered(sent.id):  # noqa: ASYNC110 - as a user would
                    await asyncio.sleep(LOOK_S)

    async def _is_delivered(self, message_id: MessageId) -> bool:
        (delivery,) = (await self._hub.message(message_id)).deliveries
        return delivery.state is DeliveryState.DELIVERED


@asynccontextmanager
async def _sessions(
    stage: Stage, codex: CodexBinary, name: str, variables: Mapping[str, str]
) -> AsyncGenerator[_Scene]:
    root = stage.socket_folder / name
    project, home = root / "project", root / "home"
    project.mkdir(parents=True)
    environ = {**stage.environ, **variables, "AGENT_RELAY_HOME": str(home)}
    async with AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, root)
        model = opened.enter_context(StubModel())
        write_config(root / "codex", config_toml(model.base_url, approval_policy="never"))
        server = await opened.enter_async_context(
            CodexServer(
                codex, root / "codex", address=f"unix://{root / 's'}", environ=environ, cwd=project
            )
        )
        user = await opened.enter_async_context(server.client())
        threads: list[str] = []
        for number in range(stage.size.sessions):
            thread = await user.start_thread(project)
            await user.turn_end(await user.start_turn(thread, f"words number {number}"))
            threads.append(thread)
        up = Child(
            ("-m", "relay_cli", "up", "--json", *(() if variables else ("--port", "0"))),
            environ=environ, log=root / "up.log",
        )  # fmt: skip
        serving = await (await opened.enter_async_context(up)).says(_Up)
        client = await opened.enter_async_context(
            HubClient(serving.url, variables.get("AGENT_RELAY_TOKEN") or _token(environ))
        )
        yield _Scene(root, environ, server, threads=tuple(threads), pid=serving.pid, client=client)


def _token(environ: Mapping[str, str]) -> str:
    return find_places(environ, os.getuid()).token_file.read_text().strip()
