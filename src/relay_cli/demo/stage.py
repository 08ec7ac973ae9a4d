"""Where the demo plays: a throwaway home, and the programs as a user would start them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from relay_cli.problems import ErrorReport, Failed
from relay_core.messages import Struct
from relay_core.places import Places, find_places

T = TypeVar("T")

WAIT_S = 15.0
"""How long a demo waits for each of its messages' steps."""
COMMAND_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LONGEST_FOLDER = 60
# What the programs need of the caller's environment; nothing of the caller's relay or Codex.
PASSED = (
    "AGENT_RELAY_DEBUG", "AGENT_RELAY_FAILPOINT", "AGENT_RELAY_FAILPOINT_LOG", "AGENT_RELAY_TEST",
    "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TERM", "USER",
)  # fmt: skip


class _ErrorObject(Struct):
    error: ErrorReport


class Stage:
    """A throwaway HOME with nothing in it, and everything that is started there.

    On leaving, all programs are stopped, by process id, and the folder is removed, but with `keep`.
    """

    def __init__(
        self, environ: Mapping[str, str], *, keep: bool = False, wait_s: float = WAIT_S
    ) -> None:
        self._keep = keep
        self.wait_s = wait_s
        self.root = Path(tempfile.mkdtemp(prefix="agent-relay-demo-", dir=_folder_for_sockets()))
        self.home = self.root / "home"
        self.codex_home = self.root / "codex"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        (self.root / "tmp").mkdir()
        self.environ = {name: environ[name] for name in PASSED if name in environ} | {
            "HOME": str(self.home),
            "AGENT_RELAY_HOME": str(self.root / "relay"),
            "CODEX_HOME": str(self.codex_home),
            "TMPDIR": str(self.root / "tmp"),
        }
        self.environ.setdefault("PATH", os.defpath)
        self._background: list[asyncio.subprocess.Process] = []

    @property
    def places(self) -> Places:
        """Where the programs of this stage keep their files."""
        return find_places(self.environ, os.getuid())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave half of it behind; each step here is bounded.
        with _interrupts_ignored():
            for process in reversed(self._background):
                await _stop(process)
            self.places.control_socket.unlink(missing_ok=True)
            if not self._keep:
                shutil.rmtree(self.root, ignore_errors=True)

    def looking_for_codex(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The caller's environment with our home: Codex leaves files there even for --version."""
        self.codex_home.mkdir(mode=0o700, exist_ok=True)
        ours = {name: self.environ[name] for name in ("HOME", "CODEX_HOME", "TMPDIR")}
        return {**environ, **ours}

    def write_settings(self, text: str) -> None:
        """Write the config.toml of this stage."""
        file = self.places.config_file
        file.parent.mkdir(parents=True, mode=0o700)
        file.write_text(text, encoding="utf-8")

    async def run(self, kind: type[T], program: str, *arguments: str) -> T:
        """Run a command with `--json` to its end and read what it printed; Failed when it fails."""
        process = await asyncio.create_subprocess_exec(
            *_command(program),
            *arguments,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environ,
            cwd=self.project,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                printed, complained = await process.communicate()
        except TimeoutError as error:
            shown = f"`{program} {arguments[0]}` took more than {COMMAND_TIMEOUT_S:g} s"
            raise Failed(shown) from error
        finally:
            await _stop(process)
        if process.returncode != 0:
            raise _failure(f"{program} {arguments[0]}", printed, complained)
        return msgspec.json.decode(printed, type=kind)

    async def start(self, kind: type[T], program: str, *arguments: str) -> T:
        """Start a command that stays, and read the line that it prints when it is ready."""
        log = self.root / "up.log"
        with log.open("wb") as complaints:
            process = await asyncio.create_subprocess_exec(
                *_command(program),
                *arguments,
                "--json",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                env=self.environ,
                cwd=self.project,
                start_new_session=True,
            )
        self._background.append(process)
        if process.stdout is None:
            raise Failed(f"`{program}` has no output")
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                line = await process.stdout.readline()
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            raise _failure(f"{program} {arguments[0]}", line, log.read_bytes()) from None


def _folder_for_sockets() -> str:
    """The folder for temporary files, or a shorter one: a unix socket's path holds 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= LONGEST_FOLDER else "/tmp"  # noqa: S108


def _command(program: str) -> list[str]:
    """Find a program beside this Python, as pip puts it there; else run its module."""
    script = Path(sys.executable).parent / program
    if os.access(script, os.X_OK):
        return [str(script)]
    module = {"agent-relay": "relay_cli", "agent-relay-codex": "relay_cli.codex_main"}[program]
    return [sys.executable, "-m", module]


def _failure(command: str, printed: bytes, complained: bytes) -> Failed:
    try:
        report = msgspec.json.decode(printed, type=_ErrorObject).error
    except msgspec.DecodeError:
        lines = complained.decode(errors="replace").strip().splitlines()
        return Failed(f"`{command}` failed: {lines[-1] if lines else 'without a word'}")
    return Failed(f"`{command}` failed: {report.detail}", fix=report.fix)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
            return


class _interrupts_ignored(contextlib.ContextDecorator):  # noqa: N801 - read as a statement
    """Ignore SIGINT and SIGTERM for the length of a block; only in the main thread."""

    def __enter__(self) -> None:
        self._former = {
            number: signal.signal(number, signal.SIG_IGN)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
