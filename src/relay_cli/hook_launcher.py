"""Keeping the launcher file right, which Codex's plugin runs.

Every command looks at it, so the look is cheap: nothing of the plugin is imported before there is
something to be written. A launcher that nobody installed is never made here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from relay_core.errors import RelayError
from relay_core.places import Places, find_places

COPY = "codex-plugin"
LAUNCHER = "launcher"
USES = "# uses "
"""How a line of the launcher begins that names a file without which it is dead."""


def claim(environ: Mapping[str, str], places: Places) -> None:
    """Let the installed launcher lead to this environment; nothing where none is installed.

    One that belongs to another AGENT_RELAY_HOME is left to it: a second relay beside the user's
    own does not take the sessions over. So is one that this environment may not keep, because its
    tool deletes it again. Raises OSError where it cannot be written.
    """
    folder = _folder(environ)
    if folder is None or not (folder / COPY).is_dir():
        return
    from relay_plugins.codex.hook_launcher import (
        LauncherState,
        look_at_launcher,
        this_target,
        write_launcher,
    )
    from relay_plugins.codex.throwaway import throwaway_tool

    wanted = this_target(environ, places)
    found = look_at_launcher(folder / LAUNCHER, wanted)
    others = found.target is not None and found.target.control_socket != wanted.control_socket
    if found.state is LauncherState.CURRENT or others:
        return
    if throwaway_tool(Path(sys.prefix), environ) is None:
        write_launcher(found.path, wanted)


def mend(environ: Mapping[str, str]) -> None:
    """Let a launcher that names a vanished file lead to this environment.

    Where that fails, the command that is run goes on; `agent-relay doctor` shows what is wrong.
    """
    folder = _folder(environ)
    if folder is None or not _is_dead(folder / LAUNCHER):
        return
    with contextlib.suppress(OSError, RelayError):
        _revive(folder / LAUNCHER, environ)


def _revive(launcher: Path, environ: Mapping[str, str]) -> None:
    import msgspec

    from relay_plugins.codex.hook_launcher import look_at_launcher, this_target, write_launcher
    from relay_plugins.codex.throwaway import throwaway_tool

    here = this_target(environ, find_places(environ, os.getuid()))
    found = look_at_launcher(launcher, here)
    if found.target is None or throwaway_tool(Path(sys.prefix), environ) is not None:
        return
    # Its socket and home stay: they say which relay was installed, whatever this command is for.
    target = msgspec.structs.replace(found.target, python=here.python, folder=here.folder)
    write_launcher(found.path, target)


def _is_dead(launcher: Path) -> bool:
    try:
        lines = launcher.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return False
    uses = [line.removeprefix(USES) for line in lines if line.startswith(USES)]
    return not all(os.path.exists(path) for path in uses)  # noqa: PTH110 - a tenth of the time


def _folder(environ: Mapping[str, str]) -> Path | None:
    """The folder of the launcher; always below HOME, None where HOME is no path."""
    try:
        return find_places({"HOME": environ.get("HOME", "")}, os.getuid()).data
    except RelayError:
        return None  # the command itself will say it, where it matters
