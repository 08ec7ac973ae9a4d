"""What `doctor --fix` does: only what loses nothing and asks for no new trust."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from relay_cli.doctor.facts import Facts, FolderState, HostState
from relay_cli.doctor.kinds import Finding
from relay_cli.doctor.looking import look_at_folder
from relay_cli.hook_launcher import claim
from relay_cli.hook_launcher import mend as mend_dead_launcher
from relay_cli.lifecycle import start_detached
from relay_cli.logs import DETACHED_LOG
from relay_cli.output import Output
from relay_cli.problems import Failed
from relay_core.errors import RelayError
from relay_core.messages import Struct
from relay_core.places import find_places
from relay_plugins.codex.hook_launcher import (
    LauncherState,
    launcher_file,
    look_at_launcher,
    this_target,
)


class Mended(Struct):
    """What was done about one finding; `failed` says why it could not be done."""

    code: str
    done: str | None = None
    failed: str | None = None


async def mend(findings: tuple[Finding, ...], facts: Facts, output: Output) -> tuple[Mended, ...]:
    """Mend what is safe, in the order in which the findings stand."""
    done: list[Mended] = []
    for one in findings:
        if not one.safe:
            continue
        try:
            done.append(Mended(code=one.code, done=await MENDERS[one.code](facts, output)))
        except (OSError, RelayError) as error:
            done.append(Mended(code=one.code, failed=str(error)))
    return tuple(done)


async def _close_folder(facts: Facts, output: Output) -> str:
    del output
    folder = facts.host.socket.parent
    if look_at_folder(folder) is FolderState.OPEN:
        _take_rights(folder, 0o700, os.O_DIRECTORY)
    return f"chmod 700 {folder}"


async def _close_token(facts: Facts, output: Output) -> str:
    del output
    _take_rights(facts.token.file, 0o600, 0)
    return f"chmod 600 {facts.token.file}"


def _take_rights(path: Path, mode: int, flags: int) -> None:
    """Change the mode of what was looked at, and of nothing that was put in its place."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    try:
        found = os.fstat(opened)
        if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(opened, mode)
    finally:
        os.close(opened)


async def _remove_socket(facts: Facts, output: Output) -> str:
    del output
    socket = facts.host.socket
    if facts.host.state is HostState.STALE and stat.S_ISSOCK(socket.lstat().st_mode):
        socket.unlink()
    return f"removed {socket}"


async def _start_host(facts: Facts, output: Output) -> str:
    del facts
    places = find_places(os.environ, os.getuid())
    running = await start_detached(places.logs / DETACHED_LOG, None, output)
    return f"started the host (pid {running.pid}), serving on {running.hub_url}"


async def _write_launcher(facts: Facts, output: Output) -> str:
    """Let it lead here; one of another AGENT_RELAY_HOME, or of a throwaway environment, stays."""
    del facts, output
    mend_dead_launcher(os.environ)
    places = find_places(os.environ, os.getuid())
    claim(os.environ, places)
    path = launcher_file(os.environ)
    found = look_at_launcher(path, this_target(os.environ, places))
    if found.state is not LauncherState.CURRENT:
        raise Failed(f"{path} is {found.state}", fix="agent-relay-codex install")
    return f"wrote {path}"


MENDERS: dict[str, Callable[[Facts, Output], Awaitable[str]]] = {
    "socket-folder-unsafe": _close_folder,
    "socket-stale": _remove_socket,
    "token-exposed": _close_token,
    "launcher-missing": _write_launcher,
    "launcher-damaged": _write_launcher,
    "launcher-dead": _write_launcher,
    "host-missing": _start_host,
}
"""What mends each kind of finding that can be mended."""
