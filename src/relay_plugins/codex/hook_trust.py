"""Which hooks Codex lists for our plugin, and whether the user trusts them; Codex is asked."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from relay_core import AdapterError, Struct, WireError
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.manifest import HOOK_KEYS
from relay_plugins.codex.protocol import Answered, Greeted, Protocol, Refused, Rejected
from relay_plugins.codex.wire import ClientInfo

LIMIT_S = 30.0
CLOSE_LIMIT_S = 5.0
LINE_BYTES = 64 * 1024 * 1024
CLIENT = ClientInfo(name="agent-relay-install", title="Agent Relay", version="1")
FIX = "run `codex plugin list` and see what it says"

T = TypeVar("T")


class ListedHook(Struct):
    """One hook as Codex lists it.

    `trust_status` is trusted, untrusted, modified, or a word that is not known yet; `enabled` is
    False where the user has switched it off.
    """

    key: str
    command: str = ""
    current_hash: str = ""
    trust_status: str = ""
    enabled: bool = True


class _ListParams(Struct):
    cwds: tuple[str, ...]


class _Listed(Struct):
    hooks: tuple[ListedHook, ...] = ()


class _ListResult(Struct):
    data: tuple[_Listed, ...] = ()


class _Trusted(msgspec.Struct, frozen=True):
    trusted_hash: str


class _Edit(Struct):
    key_path: str
    merge_strategy: str
    value: dict[str, _Trusted] | None


class _WriteParams(Struct):
    edits: tuple[_Edit, ...]
    reload_user_config: bool = True


class _WriteResult(Struct):
    status: str = ""


class CodexSettingsServer:
    """A `codex app-server` of our own on its standard input and output, with no thread in it."""

    def __init__(self, process: asyncio.subprocess.Process, codex_home: Path) -> None:
        self._process = process
        self._protocol = Protocol(CLIENT)
        self._codex_home = codex_home

    async def greet(self) -> None:
        """Do the handshake."""
        self._protocol.start()
        await self._flush()
        while True:
            for event in await self._receive():
                if isinstance(event, Greeted):
                    await self._flush()
                    return
                if isinstance(event, Rejected):
                    detail = f"codex app-server: {event.error.message}"
                    raise AdapterError(ADAPTER, detail, fix=FIX)

    async def our_hooks(self) -> tuple[ListedHook, ...]:
        """List the hooks of our plugin."""
        params = _ListParams(cwds=(str(self._codex_home),))
        result = await self._call("hooks/list", params, _ListResult)
        listed = [hook for each in result.data for hook in each.hooks]
        return tuple(hook for hook in listed if hook.key.startswith(HOOK_KEYS))

    async def trust(self, hooks: tuple[ListedHook, ...]) -> None:
        """Write what the user's yes in Codex's own review would write, for these hooks alone."""
        value = {hook.key: _Trusted(hook.current_hash) for hook in hooks}
        await self._write(_Edit(key_path="hooks.state", merge_strategy="upsert", value=value))

    async def forget(self, path: tuple[str, ...]) -> None:
        """Take one entry out of config.toml, named by its keys from the top."""
        named = ".".join(_key(each) for each in path)
        await self._write(_Edit(key_path=named, merge_strategy="replace", value=None))

    async def _write(self, edit: _Edit) -> None:
        await self._call("config/batchWrite", _WriteParams(edits=(edit,)), _WriteResult)

    async def _call(self, method: str, params: Struct, answer: type[T]) -> T:
        call = self._protocol.call(method, params)
        await self._flush()
        while True:
            for event in await self._receive():
                if isinstance(event, Refused) and event.id == call:
                    raise AdapterError(ADAPTER, f"{method}: {event.error.message}", fix=FIX)
                if isinstance(event, Answered) and event.id == call:
                    try:
                        return msgspec.json.decode(event.result, type=answer)
                    except msgspec.MsgspecError as error:
                        detail = f"codex: the answer to {method} cannot be read: {error}"
                        raise WireError(detail) from error

    async def _flush(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        for line in self._protocol.outgoing():
            self._process.stdin.write(f"{line}\n".encode())
        with contextlib.suppress(ConnectionError):  # the missing answer tells it
            await self._process.stdin.drain()

    async def _receive(self) -> tuple[object, ...]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            line = await self._process.stdout.readline()
        except ValueError as error:
            raise WireError("codex app-server: a line of more than 64 MiB") from error
        if not line:
            raise AdapterError(ADAPTER, "codex app-server ended without an answer", fix=FIX)
        return self._protocol.receive(line.decode(errors="replace"))


@asynccontextmanager
async def open_settings(
    codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> AsyncGenerator[CodexSettingsServer]:
    """Start Codex's app-server for its settings; everything in the block has `LIMIT_S`.

    Raises AdapterError when it does not start, refuses, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            codex.path,
            "app-server",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=codex_environ(codex, codex_home, environ),
            cwd=codex_home,
            limit=LINE_BYTES,
        )
    except OSError as error:
        raise AdapterError(ADAPTER, f"{codex.path} does not run: {error}") from error
    try:
        async with asyncio.timeout(LIMIT_S):
            server = CodexSettingsServer(process, codex_home)
            await server.greet()
            yield server
    except TimeoutError as error:
        detail = f"codex app-server did not answer within {LIMIT_S:g} s"
        raise AdapterError(ADAPTER, detail, fix=FIX) from error
    finally:
        await _end(process)


def codex_environ(
    codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment in which Codex works on this CODEX_HOME."""
    return {
        **environ,
        "PATH": codex.path_variable(environ),
        **({"CODEX_HOME": str(codex_home)} if environ.get("CODEX_HOME") else {}),
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, which ends it; by force where it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _key(name: str) -> str:
    """Write one key of a path as TOML does."""
    if name and all(char.isascii() and (char.isalnum() or char in "_-") for char in name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
