"""Places where a test may kill, stop or delay a process; only a test's environment arms them."""

# Rule 1: without AGENT_RELAY_TEST=1 nothing here can be armed, and asking for it is an error.
# Rule 2: a hit is on disk before its action happens, so that a test can prove that it was reached.

from __future__ import annotations

import asyncio
import enum
import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from relay_core.errors import SettingsError
from relay_core.messages import Struct
from relay_core.ports import Failpoint, Failpoints

TEST_FLAG = "AGENT_RELAY_TEST"
VARIABLE = "AGENT_RELAY_FAILPOINT"
LOG_VARIABLE = "AGENT_RELAY_FAILPOINT_LOG"
EXIT_STATUS = 70

_TRAP = re.compile(
    r"([a-z_]+):(kill|exit|drop|pause:([0-9]{1,3}(?:\.[0-9]{1,3})?))(?:@([1-9][0-9]{0,5}))?"
)


class Action(enum.StrEnum):
    """What happens at a failpoint."""

    KILL = "kill"
    EXIT = "exit"
    DROP = "drop"
    PAUSE = "pause"


class Trap(Struct):
    """One armed failpoint: at hit number `hit` (from 1), or at every hit where that is None."""

    name: Failpoint
    action: Action
    hit: int | None = None
    pause_s: float = 0.0


async def unarmed(name: Failpoint) -> bool:  # noqa: ARG001 - the shape of the port
    """Do nothing: what production uses."""
    return False


class ArmedFailpoints:
    """Acts on the traps that a test has set; each hit on which it acts is one line in the log."""

    def __init__(self, traps: tuple[Trap, ...], log: Path | None = None) -> None:
        self._traps = traps
        self._log = log
        self._hits: dict[Failpoint, int] = {}

    async def __call__(self, name: Failpoint) -> bool:
        """Act, on the event loop."""
        drop = False
        for trap in self._sprung(name):
            if trap.action is Action.PAUSE:
                await asyncio.sleep(trap.pause_s)
            drop |= trap.action is Action.DROP
        return drop

    def blocking(self, name: Failpoint) -> bool:
        """Act, in a thread that may block (the hub's writer)."""
        drop = False
        for trap in self._sprung(name):
            if trap.action is Action.PAUSE:
                time.sleep(trap.pause_s)
            drop |= trap.action is Action.DROP
        return drop

    def _sprung(self, name: Failpoint) -> list[Trap]:
        self._hits[name] = hit = self._hits.get(name, 0) + 1
        sprung = [each for each in self._traps if each.name is name and each.hit in (None, hit)]
        if sprung:
            self._write(f"{name} {hit} {os.getpid()} {time.time():.6f}\n")
        for trap in sprung:
            if trap.action is Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            elif trap.action is Action.EXIT:
                os._exit(EXIT_STATUS)
        return sprung

    def _write(self, line: str) -> None:
        if self._log is None:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(self._log, flags, 0o600)
        try:
            os.write(log, line.encode())
            os.fsync(log)
        finally:
            os.close(log)


class FileFailpoints(ArmedFailpoints):
    """Acts once on what a file asks for, whenever a test has written one.

    The file holds one trap; it is removed when its point is reached, before the action, so that a
    process which a test has started again goes on until the next is written.
    """

    def __init__(self, file: Path, log: Path | None = None) -> None:
        super().__init__((), log)
        self._file = file

    def _sprung(self, name: Failpoint) -> list[Trap]:
        try:
            trap = _trap(self._file.read_text().strip())
        except FileNotFoundError:
            return []
        if trap.name is not name:
            return []
        self._file.unlink()
        self._traps = (trap,)
        return super()._sprung(name)


def from_environment(environ: Mapping[str, str]) -> Failpoints:
    """Arm what AGENT_RELAY_FAILPOINT asks for: `name:action[@hit]`, separated by commas.

    `@FILE` reads one trap at a time from a file, each time that there is one.

    Actions: `kill`, `exit`, `drop`, `pause:SECONDS`. SettingsError where the flag of a test is not
    set, or where the value cannot be understood.
    """
    wanted = environ.get(VARIABLE, "")
    if not wanted:
        return unarmed
    if environ.get(TEST_FLAG) != "1":
        raise SettingsError(
            f"{VARIABLE} is set, but this is no test ({TEST_FLAG} is not 1)",
            fix=f"unset {VARIABLE}",
        )
    log = environ.get(LOG_VARIABLE, "")
    log_file = Path(log) if log else None
    if wanted.startswith("@"):
        return FileFailpoints(Path(wanted[1:]), log_file)
    return ArmedFailpoints(traps(wanted), log_file)


def traps(wanted: str) -> tuple[Trap, ...]:
    """Read the value of AGENT_RELAY_FAILPOINT."""
    return tuple(_trap(each.strip()) for each in wanted.split(","))


def _trap(wanted: str) -> Trap:
    match = _TRAP.fullmatch(wanted)
    if match is None:
        raise SettingsError(
            f"{VARIABLE}: {wanted!r} is not name:action[@hit]",
            fix="actions are kill, exit, drop, pause:SECONDS",
        )
    if match[1] not in list(Failpoint):
        raise SettingsError(
            f"{VARIABLE}: no failpoint is called {match[1]!r}",
            fix=f"use one of {', '.join(Failpoint)}",
        )
    return Trap(
        name=Failpoint(match[1]),
        action=Action(match[2].split(":")[0]),
        hit=int(match[4]) if match[4] else None,
        pause_s=float(match[3]) if match[3] else 0.0,
    )
