"""A real `codex app-server` under a test's control."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing.app_server_client import UNIX, AppServerClient

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.01
SOCKET_PATH_BYTES = 107
ANY_PORT = "ws://127.0.0.1:0"
# What a program needs of the caller's environment; nothing that would steer Codex or the relay.
PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "SHELL", "TERM", "TMPDIR", "USER")

_BANNER = re.compile(r"listening on: (ws://\S+)")
_PROC = Path("/proc")


class CodexServerError(Exception):
    """The app-server did not start; `log` is what it printed."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(f"{reason}\n{log[-2000:]}")
        self.log = log


class CodexServer:
    """Starts `codex app-server`, knows its pid, ends it however a test likes, and starts it again.

    Use it as an async context manager: it never outlives the block, nor do the commands that
    Codex started. `address` is ``unix:///path`` (at most 107 bytes of path), or ``ws://127.0.0.1:0``
    for a free port, which a restart keeps. With `token_file` clients must show that token.
    `environ` replaces the variables taken from the caller; CODEX_HOME and PATH are set on top.
    """

    def __init__(
        self,
        binary: CodexBinary,
        codex_home: Path,
        *,
        address: str = ANY_PORT,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        token_file: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        if len(os.fsencode(address.removeprefix(UNIX))) > SOCKET_PATH_BYTES:
            raise ValueError(f"a unix socket's path holds {SOCKET_PATH_BYTES} bytes: {address}")
        self.binary = binary
        self.codex_home = codex_home
        self.address = address
        self.log = codex_home / "app-server.log"
        self._environ = _passed(os.environ) if environ is None else dict(environ)
        self._cwd = cwd or codex_home
        self._token_file = token_file
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ---

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running server; raises RuntimeError where none runs."""
        return self._running().pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it and return when it accepts connections; raises CodexServerError."""
        if self.is_running():
            raise RuntimeError("this app-server runs already")
        self.codex_home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._process = self._spawn()
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await self._accepts():
                    if not self.is_running():
                        raise CodexServerError("codex app-server ended at once", self._said())
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            reason = f"codex app-server was not ready after {READY_TIMEOUT_S} s"
            raise CodexServerError(reason, self._said()) from error

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would; returns when it is gone."""
        await self._end(signal.SIGKILL, STOP_TIMEOUT_S)

    async def terminate(self, *, timeout_s: float = 60.0) -> int:
        """Ask it to end with SIGTERM; it first waits for running turns. Returns its exit code."""
        return await self._end(signal.SIGTERM, timeout_s)

    async def restart(self) -> None:
        """Kill it and start it again on the same address, with the same CODEX_HOME."""
        if self.is_running():
            await self.kill()
        await self.start()

    async def stop(self) -> None:
        """End it by whatever it takes, with the commands that it left running. Repeatable."""
        if self._process is None:
            return
        try:
            await self._end(signal.SIGTERM, 1.0)
        except TimeoutError:
            await self.kill()
        self._process = None

    def client(self, *, token: str | None = None, name: str = "relay-test") -> AppServerClient:
        """Return a client of this server, not yet connected."""
        return AppServerClient(self.address, token=token, name=name)

    # --- inside ---

    def _command(self) -> list[str]:
        command = [str(self.binary.path), "app-server", "--listen", self.address]
        if self._token_file is not None:
            command += ["--ws-auth", "capability-token", "--ws-token-file", str(self._token_file)]
        return [*command, *self._arguments]

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start it as a plain child, not bound to any event loop: a fixture may outlive one."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                self._command(),
                cwd=self._cwd,
                env={
                    **self._environ,
                    "CODEX_HOME": str(self.codex_home),
                    "PATH": self.binary.path_variable(self._environ),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("this app-server does not run")
        return self._process

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def _accepts(self) -> bool:
        """Whether a connection opens; reads the port from the banner where it was left open."""
        if not self.address.startswith(UNIX):
            banner = _BANNER.search(self._said())
            if banner is None:
                return False
            self.address = banner[1]
        try:
            if self.address.startswith(UNIX):
                path = self.address.removeprefix(UNIX)
                _, writer = await asyncio.open_unix_connection(path)
            else:
                host, _, port = self.address.removeprefix("ws://").rpartition(":")
                _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        return True

    async def _end(self, how: signal.Signals, timeout_s: float) -> int:
        process = self._process
        if process is None:
            return 0
        children = set(_descendants(process.pid)) if process.poll() is None else set[_Child]()
        if process.poll() is None:
            process.send_signal(how)
        async with asyncio.timeout(timeout_s):
            while process.poll() is None:
                children.update(_descendants(process.pid))
                await asyncio.sleep(POLL_S)
        for child in children:
            _kill(child)
        return process.returncode


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in PASSED if name in environ}


class _Child(msgspec.Struct, frozen=True):
    """A process below Codex; `started` tells it from a later one with the same number."""

    pid: int
    started: str


def _kill(child: _Child) -> None:
    """End what a dead Codex left behind: a shell command of a turn, a tool process."""
    if _started(child.pid) == child.started:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, as most do
            os.kill(child.pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[_Child]:
    """Walk the tree below a process; empty where there is no /proc."""
    for child in _children(pid):
        started = _started(child)
        if started is not None:
            yield _Child(child, started)
            yield from _descendants(child)


def _children(pid: int) -> Iterator[int]:
    """Read the children of all threads of a process; what ends meanwhile has none."""
    with contextlib.suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (thread / "children").read_text().split())


def _started(pid: int) -> str | None:
    """Read when a process started, in the kernel's ticks; None where it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
