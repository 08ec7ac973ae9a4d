"""Starting and stopping the host's process from outside: `up --detach`, `down`, a handover."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from relay_cli.connection import ask_host
from relay_cli.output import Output
from relay_cli.problems import EndedAtOnce, TimedOut
from relay_core.control import HostUnreachable
from relay_core.messages import Struct
from relay_core.user_files import make_private_folder

STOP_LIMIT_S = 30.0
START_LIMIT_S = 60.0
DETACHED_LOG_BYTES = 1_000_000
COMPLAINT = "agent-relay: "
POLL_S = 0.05
TOLD_AFTER_S = 1.0
PING_S = 5.0


class Running(Struct):
    """A host that answers on the control socket."""

    version: str
    pid: int
    hub_url: str


class _Stop(Struct):
    handover: bool = False


async def find_running() -> Running | None:
    """Ask who runs; None when nobody listens."""
    try:
        return await ask_host("ping", None, Running, timeout_s=PING_S)
    except HostUnreachable:
        return None


async def stop_running(output: Output, *, handover: bool = False) -> int:
    """Ask the host to stop, wait until its process is gone, and return the pid that it had.

    Raises HostUnreachable when none runs, TimedOut when it does not end.
    """
    running = await ask_host("stop", _Stop(handover=handover), Running, timeout_s=PING_S)
    began = time.monotonic()
    while lives(running.pid):
        waited = time.monotonic() - began
        if waited > STOP_LIMIT_S:
            detail = f"the host (pid {running.pid}) has not ended after {STOP_LIMIT_S:g} s"
            raise TimedOut(detail, fix=f"kill {running.pid}")
        if waited > TOLD_AFTER_S:
            output.progress(f"waiting for pid {running.pid} to finish")
        await asyncio.sleep(POLL_S)
    output.progress_done()
    return running.pid


async def make_room(output: Output) -> Running | None:
    """Find a running host of this version; ask one of another version to hand over."""
    from relay_cli.version import version

    running = await find_running()
    if running is None or running.version == version():
        return running
    output.line(f"taking over from version {running.version} (pid {running.pid})")
    await stop_running(output, handover=True)
    return None


async def start_detached(log: Path, port: int | None, output: Output) -> Running:
    """Start `up` in the background, with its output in a log, and wait until it is ready.

    Raises Failed with the line that it printed when it ends instead.
    """
    make_private_folder(log.parent)
    _set_aside_when_long(log)
    process, began_at = _spawn(log, port)
    began = time.monotonic()
    while process.poll() is None:
        running = await find_running()
        if running is not None:
            # It lives on by itself: nobody waits for it, and that is no mistake to warn about.
            process.returncode = 0
            return running
        waited = time.monotonic() - began
        if waited > START_LIMIT_S:
            process.kill()
            process.wait()
            raise TimedOut(f"the host was not ready after {START_LIMIT_S:g} s", fix=f"see {log}")
        if waited > TOLD_AFTER_S:
            output.progress("waiting for the host to be ready")
        await asyncio.sleep(POLL_S)
    output.progress_done()
    running = await find_running()
    if process.returncode == 0 and running is not None:
        return running  # two started at once, and this one gave way to the other
    raise _ended(log, began_at, process.returncode)


def _set_aside_when_long(log: Path) -> None:
    """Begin the log anew when it is long; the last one is kept beside it."""
    if log.is_file() and log.stat().st_size > DETACHED_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _spawn(log: Path, port: int | None) -> tuple[subprocess.Popen[bytes], int]:
    """Start `up` apart from this terminal; also tell how long its log was before."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(log, flags, 0o600)
    try:
        began_at = os.fstat(descriptor).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "relay_cli", "up", *_port_option(port)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(descriptor)
    return process, began_at


def _port_option(port: int | None) -> list[str]:
    return [] if port is None else ["--port", str(port)]


def _ended(log: Path, began_at: int, status: int) -> EndedAtOnce:
    """Pass on what the background process said last, and how it ended."""
    with log.open("rb") as stream:
        stream.seek(began_at)
        said = stream.read().decode(errors="replace").strip().splitlines()
    complaints = [line for line in said if line.startswith(COMPLAINT)]
    detail = complaints[-1].removeprefix(COMPLAINT) if complaints else f"ended at once, see {log}"
    return EndedAtOnce(detail, status)


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only its parent has not looked yet; Linux only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]
