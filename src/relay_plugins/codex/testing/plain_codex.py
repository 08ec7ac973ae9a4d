"""A real plain `codex` in a terminal, with the daemon that it starts for itself.

A plain `codex` copies some 380 MB into its CODEX_HOME, so that one home serves for everything of
one version. The daemon and its updater outlive every terminal; `end` ends both by their process
ids.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing.codex_home import config_toml, write_config
from relay_plugins.codex.testing.processes import processes_with
from relay_plugins.codex.testing.stub_model import StubModel
from relay_plugins.codex.testing.terminal import Terminal

READY = "for shortcuts"
"""What stands below the composer when a terminal UI is ready to be typed into."""

DAEMON = "--managed-daemon"
DAEMON_TRIES = 5


@dataclass
class PlainCodex:
    """Types `codex` in terminals, and ends what is left of it."""

    binary: CodexBinary
    home: Path
    codex_home: Path
    cwd: Path
    model: StubModel
    terminals: list[Terminal] = field(default_factory=list[Terminal])

    @property
    def environ(self) -> dict[str, str]:
        """What a shell in which somebody types `codex` has in its environment."""
        kept = {name: os.environ[name] for name in ("LANG", "USER") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "CODEX_HOME": str(self.codex_home),
            "PATH": self.binary.path_variable(os.environ),
        }

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.codex_home / "app-server-control" / "app-server-control.sock"

    def configure(
        self, *, sandbox: str | None = None, approval: str | None = None, extra: str = ""
    ) -> None:
        """Write config.toml anew; nothing that was installed before is left in it."""
        text = config_toml(
            self.model.base_url,
            approval_policy=approval,
            sandbox_mode=sandbox,
            trusted=[self.cwd],
            extra=extra,
        )
        write_config(self.codex_home, text)

    def open(self, *arguments: str, cwd: Path | None = None, ready: str = READY) -> Terminal:
        """Type `codex`, with these arguments, and wait until it can be typed into."""
        terminal = self.start(*arguments, cwd=cwd)
        terminal.until(ready)
        return terminal

    def start(self, *arguments: str, cwd: Path | None = None) -> Terminal:
        """Type `codex`, with these arguments."""
        terminal = Terminal(
            [self.binary.path, *arguments], environ=self.environ, cwd=cwd or self.cwd
        )
        self.terminals.append(terminal)
        return terminal

    def run(self, prompt: str) -> None:
        """Type `codex exec`, and wait for its end."""
        subprocess.run(
            [str(self.binary.path), "exec", "--skip-git-repo-check", prompt],
            env=self.environ,
            cwd=self.cwd,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )

    def quit(self, terminal: Terminal) -> str:
        """Type `/quit` and return what was said at last."""
        terminal.enter("/quit")
        terminal.wait()
        terminal.close()
        return terminal.text

    def daemons(self, kind: str = DAEMON) -> tuple[int, ...]:
        """The processes of this CODEX_HOME's daemon."""
        return tuple(pid for pid, command in self._processes() if kind in command)

    def kill_daemon(self) -> None:
        """End the daemon as a crash would."""
        for pid in self.daemons():
            _kill(pid)

    def stop_daemon(self) -> None:
        """Type `codex app-server daemon stop`."""
        self._command_daemon("stop")

    def start_daemon(self) -> None:
        """Type `codex app-server daemon start`: terminals that lost their daemon come back."""
        self._command_daemon("start")

    def _command_daemon(self, what: str) -> None:
        """Type it again where it fails: what was killed just now may be half there yet."""
        command = [str(self.binary.path), "app-server", "daemon", what]
        said = self.home / f"daemon-{what}.log"  # no pipe: the daemon would keep it open
        for _ in range(DAEMON_TRIES):
            with said.open("wb") as log:
                done = subprocess.run(
                    command,
                    env=self.environ,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=60,
                )
            if done.returncode == 0:
                return
            time.sleep(0.5)
        raise AssertionError(f"codex app-server daemon {what}: {said.read_text()}")

    def end(self) -> None:
        """Close all terminals and end what outlives them."""
        for terminal in self.terminals:
            terminal.close()
        while left := [pid for pid, _ in self._processes()]:
            for pid in left:
                _kill(pid)
        self.socket.unlink(missing_ok=True)

    def _processes(self) -> Iterator[tuple[int, str]]:
        """App-servers that have this CODEX_HOME in their environment, with their command lines."""
        for pid, command in processes_with("CODEX_HOME", self.codex_home).items():
            if "app-server" in command:
                yield pid, command


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
