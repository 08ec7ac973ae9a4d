"""A Codex app-server of our own, spoken to through its stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from relay_core import AdapterError
from relay_plugins.codex.address import ADAPTER

MAX_LINE_BYTES = 256 * 1024 * 1024
END_S = 2.0


class StdioFrames:
    """Its lines as frames, as a websocket has them; it ends with its stdin, so with this host."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 - started with a pipe
        assert process.stdout is not None  # noqa: S101 - same
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout

    @property
    def process_id(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, frame: str, /) -> None:
        """Send one line; what reads sees that nobody takes it any more."""
        with contextlib.suppress(ConnectionError):
            self._stdin.write(frame.encode() + b"\n")
            await self._stdin.drain()

    async def __aiter__(self) -> AsyncIterator[str]:
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a line is too long
            while line := await self._stdout.readline():
                yield line.decode(errors="replace")

    async def close(self) -> None:
        """End it; when this returns nothing that was asked is under way any more."""
        self._stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()


async def start_app_server(
    binary: Path, codex_home: Path, environ: Mapping[str, str]
) -> StdioFrames:
    """Start `codex app-server` on this CODEX_HOME; AdapterError when it does not start."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary,
            "app-server",
            cwd=codex_home,
            env={**environ, "CODEX_HOME": str(codex_home)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
    except OSError as error:
        raise AdapterError(ADAPTER, f"{binary} does not start: {error}") from error
    return StdioFrames(process)
