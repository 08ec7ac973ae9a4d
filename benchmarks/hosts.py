"""A host as a user runs it, with threads of a real Codex that it does not serve yet."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.child import Child
from benchmarks.stage import Stage
from relay_core import Struct, find_places
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import CodexServer, StubModel, config_toml, write_config


class _Up(Struct):
    url: str
    pid: int


class _Attached(Struct):
    agent_id: AgentId


class _AttachAnswer(Struct):
    attached: tuple[_Attached, ...]


class Host:
    """A running host: `pid` is its process, `threads` are loaded and have had a turn each."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        codex: CodexServer,
        *,
        threads: tuple[str, ...],
        pid: int,
        hub: HubClient,
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.threads = threads
        self.pid = pid
        self.hub = hub
        self._address = codex.address

    async def attach(self, thread: str | None = None) -> tuple[AgentId, ...]:
        """Let it serve one thread, or all; returns when they are registered."""
        program = ("-m", "relay_cli.codex_main", "attach", "--app-server", self._address, "--json")
        which = () if thread is None else ("--thread", thread)
        log = self.folder / "attach.log"
        async with Child((*program, *which), environ=self.environ, log=log) as attaching:
            answer = await attaching.says(_AttachAnswer)
        assert len(answer.attached) == (1 if thread else len(self.threads)), answer
        return tuple(each.agent_id for each in answer.attached)


@asynccontextmanager
async def host(
    stage: Stage,
    codex: CodexBinary,
    name: str,
    *,
    threads: int,
    variables: Mapping[str, str] | None = None,
) -> AsyncGenerator[Host]:
    """Run `agent-relay up` beside a Codex with so many threads; the variables may name a hub."""
    folder = stage.socket_folder / name
    project = folder / "project"
    project.mkdir(parents=True)
    named = variables or {}
    environ = {**stage.environ, **named, "AGENT_RELAY_HOME": str(folder / "home")}
    async with AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder)
        model = opened.enter_context(StubModel())
        write_config(folder / "codex", config_toml(model.base_url, approval_policy="never"))
        socket = f"unix://{folder / 's'}"
        server = CodexServer(codex, folder / "codex", address=socket, environ=environ, cwd=project)
        await opened.enter_async_context(server)
        user = await opened.enter_async_context(server.client())
        begun: list[str] = []
        for number in range(threads):
            thread = await user.start_thread(project)
            await user.turn_end(await user.start_turn(thread, f"words number {number}"))
            begun.append(thread)
        program = ("-m", "relay_cli", "up", "--json", *(() if named else ("--port", "0")))
        up = Child(program, environ=environ, log=folder / "up.log")
        serving = await (await opened.enter_async_context(up)).says(_Up)
        token = named.get("AGENT_RELAY_TOKEN") or _token(environ)
        hub = await opened.enter_async_context(HubClient(serving.url, token))
        yield Host(folder, environ, server, threads=tuple(begun), pid=serving.pid, hub=hub)


def _token(environ: Mapping[str, str]) -> str:
    return find_places(environ, os.getuid()).token_file.read_text().strip()
