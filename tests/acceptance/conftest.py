"""Commands as a user types them: in a process of their own, with a fresh HOME."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(sys.executable).parent
COMMAND_LIMIT_S = 90
READY_LIMIT_S = 60


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object that was printed."""
        assert len(self.out.splitlines()) == 1, self
        return json.loads(self.out)

    def failed(self, code: int) -> str:
        """Check that it ended as a failing command must, and return its one line."""
        assert self.code == code, self
        assert self.out == "", self
        assert len(self.err.splitlines()) == 1, self
        assert self.err.startswith("agent-relay"), self
        assert "Traceback" not in self.err, self
        return self.err.rstrip("\n")

    def worked(self) -> "Done":
        """Check that it ended with 0."""
        assert self.code == 0, self
        assert "Traceback" not in self.err, self
        return self


@dataclass
class Relay:
    """One user with an empty home, typing commands."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    was_up: bool = False

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.environ = {"HOME": str(self.home), "PATH": os.environ["PATH"], **self.environ}

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "agent-relay"

    @property
    def config(self) -> Path:
        return self.home / ".config" / "agent-relay" / "config.toml"

    def write_config(self, text: str) -> None:
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)

    def __call__(
        self,
        *arguments: str | bytes,
        program: str = "agent-relay",
        stdin: str | bytes | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command to its end."""
        self.was_up |= "up" in arguments
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [PROGRAMS / program, *arguments],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            env={**self.environ, **(environ or {})},
            cwd=self.home,
            capture_output=True,
            check=False,
            timeout=COMMAND_LIMIT_S,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def codex(self, *arguments: str) -> Done:
        return self(*arguments, program="agent-relay-codex")

    def start(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command that stays; it is ended with the test."""
        self.was_up |= "up" in arguments
        process = subprocess.Popen(
            [PROGRAMS / "agent-relay", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environ, **(environ or {})},
            cwd=self.home,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def up(self, *arguments: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Start host and hub in the foreground and wait until they serve."""
        port = () if "--port" in arguments else ("--port", "0")
        process = self.start("up", *port, *arguments, "--json", environ=environ)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        return json.loads(line)

    def end(self) -> None:
        """End what was started, however it stands."""
        if self.was_up:
            self("down")
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def until(what: str, found: Any, *, limit_s: float = READY_LIMIT_S) -> Any:
    """Ask until there is a true answer."""
    give_up = time.monotonic() + limit_s
    while time.monotonic() < give_up:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {limit_s} s")


@pytest.fixture
def relay(short_path: Path) -> Iterator[Relay]:
    """A user with an empty home, where nothing runs yet."""
    user = Relay(short_path / "home")
    yield user
    user.end()
