"""The driver of Codex for the conformance kit: a real app-server, its user, and a stub model."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from relay_core import Adapter, Failpoint
from relay_core.testing.adapter_driver import Driver, Options, PlainDriver, Play, SystemClock
from relay_core.testing.adapter_scene import happens
from relay_plugins.codex.adapter import CodexAdapter, CodexSettings
from relay_plugins.codex.launcher import CodexBinary, codex_at, find_codex
from relay_plugins.codex.servers import AttachRequest
from relay_plugins.codex.testing.app_server_client import AppServerClient, Disconnected
from relay_plugins.codex.testing.codex_home import config_toml, write_config
from relay_plugins.codex.testing.codex_server import CodexServer
from relay_plugins.codex.testing.recorded import Request
from relay_plugins.codex.testing.replies import DEFAULT_TEXT, Reply, Say, ShellCall, Until
from relay_plugins.codex.testing.stub_model import Script, StubModel

T = TypeVar("T")

PATIENCE_S = 30.0
ASKS = "item/commandExecution/requestApproval"
SHOWN = ("item/started", "item/completed")
"""What tells a terminal that is subscribed to a thread what to show."""


class CodexDriver(PlainDriver):
    """Plays the user of a Codex, who is subscribed to every thread as a terminal is."""

    name = "codex"
    cannot: Mapping[Play, str] = {}

    def __init__(self, server: CodexServer, model: StubModel, cwd: Path) -> None:
        self.clock = SystemClock()
        self.agent = f"Codex {server.binary.version}"
        self._server = server
        self._model = model
        self._cwd = cwd
        self._user = server.client(name="codex-tui")
        self._there = asyncio.Event()
        self._reviving = asyncio.Lock()
        self._tool = _Tool(cwd)
        self._gate = threading.Event()

    async def open(self) -> None:
        """Let the user come."""
        await self._user.open()
        self._there.set()

    async def close(self) -> None:
        """Let the user go."""
        await self._user.close()

    # Adapters and sessions -----------------------------------------------------------------------

    def new_adapter(self) -> Adapter:
        return CodexAdapter(
            codex_home=self._server.codex_home,
            clock=self.clock,
            failpoint=_unarmed,
            settings=CodexSettings(discover=False),
            environ=os.environ,
        )

    async def begin(self) -> str:
        """Begin a thread; its first turn makes Codex keep it."""
        user = await self._present()
        key = await user.start_thread(self._cwd)
        turn = await user.start_turn(key, "the user's first words")
        await user.turn_end(turn)
        return key

    def attachment(self, key: str) -> msgspec.Raw | None:
        request = AttachRequest(app_server=self._server.address, thread=key)
        return msgspec.Raw(msgspec.json.encode(request))

    # Looking -------------------------------------------------------------------------------------

    async def inputs(self, key: str) -> tuple[str, ...]:
        items = await self._seen(lambda user: user.user_items(key))
        return tuple(item.text for item in items)

    async def resting(self, key: str) -> bool:
        return (await self._seen(lambda user: user.read(key))).status.type != "active"

    async def last_words(self, key: str) -> str | None:
        del key
        return DEFAULT_TEXT

    async def shows(self, key: str, text: str) -> bool:
        wanted = text.encode()
        return any(
            wanted in bytes(note.params)
            for note in self._user.notifications
            if note.method in SHOWN and key.encode() in bytes(note.params)
        )

    # The user ------------------------------------------------------------------------------------

    async def type(self, key: str, text: str) -> None:
        await (await self._present()).start_turn(key, text)

    async def stop(self, key: str) -> None:
        user = await self._present()
        await user.interrupt(key, (await user.turns(key))[-1].id)

    async def ask(self, key: str) -> None:
        """Begin a turn that may do less than its command needs."""
        user = await self._present()
        self._model.enqueue(ShellCall("true", escalate=True))
        await user.call(
            "turn/start",
            {
                "threadId": key,
                "input": [{"type": "text", "text": "do what needs a yes", "text_elements": []}],
                "approvalPolicy": "on-request",
                "sandboxPolicy": {"type": "readOnly"},
            },
        )
        await user.until(ASKS, timeout_s=PATIENCE_S)

    async def asking(self, key: str) -> bool:
        return bool((await self._seen(lambda user: user.read(key))).status.active_flags)

    async def answer(self, key: str) -> None:
        del key
        user = await self._present()
        await user.answer(await user.until(ASKS), {"decision": "accept"})

    # Turns that go on ----------------------------------------------------------------------------

    async def hold(self, key: str, doing: Play) -> None:
        del key
        self._gate = gate = threading.Event()
        if doing is Play.TOOL:
            self._tool.arm()
            self._model.script = self._tool.reply
        else:
            self._model.script = _until(gate)

    async def held(self, key: str) -> None:
        del key

        async def so() -> bool:
            return self._model.script != self._tool.reply or self._tool.runs

        await happens(so, PATIENCE_S)

    async def release(self, key: str) -> None:
        del key
        self._model.script = None
        self._gate.set()
        self._tool.end()

    # Life and death ------------------------------------------------------------------------------

    async def kill(self, key: str) -> None:
        del key
        self._there.clear()
        await self._server.kill()

    async def revive(self, key: str) -> None:
        """Do what a terminal does: come back, and load the thread again."""
        async with self._reviving:
            if self._there.is_set():
                return
            if not self._server.is_running():
                await self._server.start()
            await self._user.close()
            self._user = self._server.client(name="codex-tui")
            await self._user.open()
            await self._user.resume(key)
            self._there.set()

    async def _seen(self, look: Callable[[AppServerClient], Awaitable[T]]) -> T:
        """Look; once more, when Codex is back, where it was killed meanwhile."""
        try:
            return await look(await self._present())
        except Disconnected:
            return await look(await self._present())

    async def _present(self) -> AppServerClient:
        """The user, once Codex is there."""
        async with asyncio.timeout(PATIENCE_S):
            await self._there.wait()
        return self._user


def _until(gate: threading.Event) -> Script:
    """Let every answer of the model go on until the gate opens."""

    def reply(request: Request) -> Reply:
        del request
        return Until(gate)

    return reply


class _Tool:
    """A shell command that runs until it is told to end."""

    def __init__(self, cwd: Path) -> None:
        self._running, self._go = cwd / "running", cwd / "go"
        self._called = False

    @property
    def runs(self) -> bool:
        return self._running.exists()

    def arm(self) -> None:
        """Let the next request of the model be answered with the command."""
        self._called = False
        for file in (self._running, self._go):
            file.unlink(missing_ok=True)

    def reply(self, request: Request) -> Reply:
        """Call the tool once."""
        del request
        if self._called:
            return Say()
        self._called = True
        command = f"touch {self._running.name}; until [ -e {self._go.name} ]; do sleep 0.02; done"
        return ShellCall(command)

    def end(self) -> None:
        self._go.touch()


@asynccontextmanager
async def open_driver(folder: Path, options: Options) -> AsyncGenerator[Driver]:
    """Run the Codex that `options` names, else the one of this machine, in an empty folder.

    The folder's path must leave room for a unix socket. AdapterError where there is no Codex.
    """
    home, cwd = folder / "c", folder / "w"
    for each in (home, cwd):
        await asyncio.to_thread(each.mkdir)
    binary = await asyncio.to_thread(_binary, options, home)
    with StubModel() as model:
        text = config_toml(
            model.base_url,
            approval_policy="never",
            sandbox_mode="danger-full-access",
            trusted=[cwd],
        )
        write_config(home, text)
        environ = {"HOME": str(folder), "PATH": os.environ.get("PATH", os.defpath)}
        server = CodexServer(binary, home, address=f"unix://{home / 's'}", cwd=cwd, environ=environ)
        async with server:
            driver = CodexDriver(server, model, cwd)
            await driver.open()
            try:
                yield driver
            finally:
                await driver.close()


def _binary(options: Options, home: Path) -> CodexBinary:
    """Find it; it is run for its version, and writes into its CODEX_HOME even then."""
    environ = {**os.environ, "CODEX_HOME": str(home)}
    program = options.program
    return find_codex(environ) if program is None else codex_at(program, environ)


async def _unarmed(name: Failpoint) -> bool:
    del name
    return False
