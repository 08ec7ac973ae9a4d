"""The launcher file: what the frozen plugin runs, and the one place that says where this code is.

It always stands below HOME, whatever AGENT_RELAY_HOME says: what Codex runs knows HOME alone. It
may change as often as it likes; Codex's trust is in the plugin's own files.
"""

from __future__ import annotations

import contextlib
import enum
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from relay_core import Places, SettingsError, Struct, find_places, make_private_folder

FOLDER = Path(".local") / "share" / "agent-relay"
NAME = "launcher"
MODE = 0o700
USES = "# uses "
"""How a line of the file begins that names a file without which it is dead."""
SOCKET = "# asks "
"""How the line begins that names the control socket."""
HOME_OF_RELAY = "# home "
"""How the line begins that names AGENT_RELAY_HOME; there is none where it was not set."""

_TEXT = """\
#!/bin/sh
# Written by `agent-relay-codex install` and `agent-relay up`, and written anew by them.
# What Codex runs comes here; the paths below are those of the environment that it was written by.
{uses}
{socket}
{home}case "$1" in
  hook) script={hook} ;;
  mcp) script={mcp} ; [ -f "$script" ] || exit 0 ;;
  host) script={hook} ;;
  *) exit 0 ;;
esac
if [ ! -x {python} ] || [ ! -f {runner} ] || [ ! -f "$script" ]; then
  [ "$1" = hook ] && printf '%s\\n' {lost}
  exit 0
fi
{environment}
[ "$1" = host ] && exec {python} -m relay_cli up --detach
exec {python} -I -S {runner} "$script" {control}
"""
_LOST = (
    '{"hookSpecificOutput":{"hookEventName":"SessionStart","additionalContext":'
    '"Agent Relay is not connected: the environment that it was installed to is gone. '
    "Tell the user to install agent-relay-codex again and to run `agent-relay-codex install`; "
    'do not try to mend it yourself."}}'
)


class Target(Struct):
    """What a launcher file leads to.

    `relay_home` is the AGENT_RELAY_HOME that host and hook share, None for the usual places.
    """

    python: Path
    folder: Path
    control_socket: Path
    relay_home: str | None = None

    @property
    def runner(self) -> Path:
        """The script that Python is given."""
        return self.folder / "run_cached.py"

    @property
    def hook(self) -> Path:
        """The file that answers the hook."""
        return self.folder / "hook.py"

    @property
    def tools(self) -> Path:
        """The file that carries the tools; not every release has it."""
        return self.folder / "mcp_pipe.py"

    @property
    def needed(self) -> tuple[Path, ...]:
        """The files without which it is dead."""
        return (self.python, self.runner, self.hook)


class LauncherState(enum.StrEnum):
    """How the launcher file stands."""

    MISSING = "missing"
    DAMAGED = "damaged"
    """Not one of ours, not runnable, or open to others."""
    DEAD = "dead"
    """It names an interpreter or a file that is gone."""
    ELSEWHERE = "elsewhere"
    """It works, and leads to another environment than this one."""
    CURRENT = "current"


class Launcher(Struct):
    """The launcher file as it was found; `target` is None where it cannot be read."""

    path: Path
    state: LauncherState
    target: Target | None = None
    missing: tuple[Path, ...] = ()


def launcher_folder(environ: Mapping[str, str]) -> Path:
    """The folder of launcher and plugin copy, below HOME; SettingsError where HOME is no path."""
    home = {"HOME": environ.get("HOME", "")}
    return find_places(home, os.getuid()).data


def launcher_file(environ: Mapping[str, str]) -> Path:
    """Where the launcher file is."""
    return launcher_folder(environ) / NAME


def this_target(environ: Mapping[str, str], places: Places) -> Target:
    """Where a launcher written by this process leads."""
    return Target(
        # Not resolved: the interpreter of an environment is often a link out of it.
        python=Path(sys.executable).absolute(),
        folder=Path(__file__).resolve().parent,
        control_socket=places.control_socket,
        relay_home=environ.get("AGENT_RELAY_HOME") or None,
    )


def launcher_text(target: Target) -> str:
    """Write the file's text; SettingsError where a path cannot stand in it."""
    names = [*target.needed, target.control_socket]
    if any("\n" in str(name) for name in (*names, target.relay_home or "")):
        raise SettingsError("a path of this environment has a line end in it")
    home = target.relay_home
    return _TEXT.format(
        uses="\n".join(f"{USES}{path}" for path in target.needed),
        socket=f"{SOCKET}{target.control_socket}",
        home="" if home is None else f"{HOME_OF_RELAY}{home}\n",
        hook=_quoted(target.hook),
        mcp=_quoted(target.tools),
        python=_quoted(target.python),
        runner=_quoted(target.runner),
        control=_quoted(target.control_socket),
        lost=shlex.quote(_LOST),
        environment=(
            "unset AGENT_RELAY_HOME"
            if home is None
            else f"AGENT_RELAY_HOME={shlex.quote(home)}; export AGENT_RELAY_HOME"
        ),
    )


def read_target(text: str) -> Target | None:
    """Read where a launcher file leads; None where it is none of ours."""
    lines = text.split("\n")
    uses = [Path(line.removeprefix(USES)) for line in lines if line.startswith(USES)]
    sockets = [line.removeprefix(SOCKET) for line in lines if line.startswith(SOCKET)]
    homes = [line.removeprefix(HOME_OF_RELAY) for line in lines if line.startswith(HOME_OF_RELAY)]
    if len(sockets) != 1 or len(homes) > 1 or not uses:
        return None
    target = Target(
        python=uses[0],
        folder=uses[-1].parent,
        control_socket=Path(sockets[0]),
        relay_home=homes[0] if homes else None,
    )
    return target if target.needed == tuple(uses) else None


def look_at_launcher(path: Path, wanted: Target) -> Launcher:
    """See how the launcher file stands, compared with the one that this process would write."""
    try:
        found = path.lstat()
        text = path.read_text(encoding="utf-8") if stat.S_ISREG(found.st_mode) else ""
    except FileNotFoundError:
        return Launcher(path=path, state=LauncherState.MISSING)
    except (OSError, UnicodeDecodeError):
        return Launcher(path=path, state=LauncherState.DAMAGED)
    target = read_target(text)
    if target is None:
        return Launcher(path=path, state=LauncherState.DAMAGED)
    missing = tuple(each for each in target.needed if not each.exists())
    if missing:
        return Launcher(path=path, state=LauncherState.DEAD, target=target, missing=missing)
    private = stat.S_IMODE(found.st_mode) == MODE and found.st_uid == os.getuid()
    if not private or (target == wanted and text != launcher_text(target)):
        return Launcher(path=path, state=LauncherState.DAMAGED, target=target)
    state = LauncherState.CURRENT if target == wanted else LauncherState.ELSEWHERE
    return Launcher(path=path, state=state, target=target)


def write_launcher(path: Path, target: Target) -> None:
    """Put the file there in one step: whoever runs it meets the old one or the new one, whole."""
    text = launcher_text(target).encode()
    make_private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{NAME}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), MODE)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
