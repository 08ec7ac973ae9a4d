"""`agent-relay-codex start`, also as `codex-relay`."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from relay_cli.codex_program import codex_environ
from relay_cli.connection import Here, ask_host, look_around
from relay_cli.keeping.plan import LOCK, SOCKET, Plan, remove
from relay_cli.lifecycle import Running, find_running, start_detached
from relay_cli.logs import DETACHED_LOG
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.shell_folder import shell_folder
from relay_cli.variables import session_environment
from relay_core.control import PROTOCOL_VERSION, own_folder
from relay_core.errors import SettingsError
from relay_core.messages import Struct
from relay_core.sessions import RegistrationPatch
from relay_plugins.codex import LaunchRequest, LeaveRequest, PrepareRequest, codex_home
from relay_plugins.codex.address import parse_address
from relay_plugins.codex.arguments import (
    CommandLine,
    Typed,
    command_line,
    read_arguments,
    wanted_thread,
)
from relay_plugins.codex.launcher import CodexBinary, find_codex
from relay_plugins.codex.saved import find_saved
from relay_plugins.codex.terminals import Launch
from relay_plugins.codex.variables import STATE_PATH, SessionWishes, read_wishes

FOLDER_PREFIX = "codex-"
YOUNG_S = 60.0
"""A folder that is younger may not have its lock yet."""

HELP_OPTIONS = ("--help", "-h")
KEEPER = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from relay_cli.keeping.keeper import main; sys.exit(main())"
)
"""What the interpreter is given: of all installed packages it finds ours alone, and reads little of
that."""


class PassOn(click.Command):
    """A command that takes whatever is typed behind its name, `--` and options included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in HELP_OPTIONS and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        ctx.params["arguments"] = tuple(args)
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        del ctx
        return ["[CODEX ARGUMENTS]..."]


class Session(Struct):
    """What is known of the session before anything of it runs."""

    here: Here
    codex: CodexBinary
    wishes: SessionWishes
    cwd: str
    environment: dict[str, str]


@click.command(
    "start",
    cls=PassOn,
    add_help_option=False,
    help="""Open a Codex session that is an agent from its first moment.

    The same as `codex-relay`. All arguments are Codex's own and passed on: a prompt, options,
    `resume [ID]`, `resume --last`, `fork [ID]`, `-- PROMPT`. Only `--help` as the first one shows
    this text.

    A Codex app-server is started for this session alone, with this shell's environment, on a socket
    that only you can open; Codex's terminal UI is connected to it, in this terminal. The session is
    registered before its first prompt, with the label, tags, capabilities and channels that this
    shell's variables or its profile give it. When the terminal UI ends, however it ends,
    app-server, socket and registration go with it. Where no host runs, one is started in the
    background, as `agent-relay up --detach` does.

    Approval and sandbox are Codex's own settings, unless a mode is asked for: by
    AGENT_RELAY_APPROVAL or the profile's `approval` (open, guarded, read-only), or by Codex's own
    words in AGENT_RELAY_CODEX_APPROVAL_POLICY and AGENT_RELAY_CODEX_SANDBOX, each of which comes
    before the mode. Options that are typed come before all of them. A profiles.json or a variable
    that cannot be understood refuses the start. A session that is resumed or forked keeps the
    permissions that it had, because Codex changes none then: one that had a wider sandbox than is
    asked for is not resumed.

    These count for the session, and come from this shell:

    \b
    AGENT_RELAY_PROFILE           its profile in profiles.json
    AGENT_RELAY_LABEL             what it is called
    AGENT_RELAY_TAGS, _CAPS       its tags, and what it can do
    AGENT_RELAY_CHANNELS          the channels that it listens to
    AGENT_RELAY_CODEX_RIG         the tag that names the kind of set-up
    AGENT_RELAY_CODEX_CWD         the folder that it works in; default: this one
    AGENT_RELAY_CODEX_STATE_PATH  a file that its status is written to
    CODEX_MODEL                   its model
    CODEX_THREAD_MODE             start (default), resume, or auto: resume where
                                  there is something to
    CODEX_THREAD_ID               the thread to resume; default: the folder's last
    CODEX_APP_SERVER_URL          a running app-server to use instead of a new one

    Codex cannot do these on an app-server, so that they are refused: --add-dir, --worktree,
    --no-daemon; and --remote, because the address is given already.

    The exit status is Codex's; 128 and the number of the signal that ended it; 1 when its
    app-server ended first.
    """,
)
def command(arguments: tuple[str, ...]) -> None:
    """Start a session."""
    output = Output(as_json=False)
    typed = read_arguments(arguments)
    if typed.asks_only:
        codex = find_codex(codex_environ(look_around().settings, os.environ))
        _become([str(codex.path), *arguments], codex.path_variable(os.environ))
    if not (os.isatty(0) and os.isatty(1)):
        raise Usage("a session needs a terminal", fix="type it in one, without pipes")
    session = _look(typed)
    if running := finish(_ensure_host(session.here, output), output, "starting the host"):
        output.remark(f"started the host in the background: {running.hub_url} (pid {running.pid})")
    wanted = PrepareRequest(
        cwd=session.cwd, environment=session.environment, model=session.wishes.model
    )
    asked = ask_host("codex.prepare", wanted, RegistrationPatch)
    mode = finish(asked, output, "asking the host").approval
    _start(session, typed, arguments, mode, output)


def _look(typed: Typed) -> Session:
    """Read what this shell says about the session; SettingsError where it means nothing."""
    wishes = read_wishes(os.environ)
    environment = session_environment(os.environ)
    if wishes.state_path is not None:
        if not wishes.state_path.parent.is_dir():
            detail = f"{STATE_PATH.name}: there is no folder {wishes.state_path.parent}"
            raise SettingsError(detail, fix="make it, or name another file")
        environment[STATE_PATH.name] = str(wishes.state_path)
    cwd = typed.cwd or str(wishes.cwd or shell_folder(os.environ))
    if not Path(cwd).is_dir():
        raise Usage(f"there is no folder {cwd}", fix="name one that is there with -C")
    here = look_around()
    return Session(
        here=here,
        codex=find_codex(codex_environ(here.settings, os.environ)),
        wishes=wishes,
        cwd=str(Path(cwd).absolute()),
        environment=environment,
    )


async def _ensure_host(here: Here, output: Output) -> Running | None:
    """Start a host where none runs; answer it only if it is a new one."""
    if await find_running() is not None:
        return None
    return await start_detached(here.places.logs / DETACHED_LOG, None, output)


def _start(
    session: Session, typed: Typed, arguments: tuple[str, ...], mode: str | None, output: Output
) -> NoReturn:
    """Become the program that runs terminal UI and app-server."""
    url, home = session.wishes.app_server_url, codex_home(os.environ)
    folder, lock = ("", None) if url else _make_folder(session.here.places.sockets)
    try:
        address = parse_address(url or f"unix://{folder}/{SOCKET}", home).text
        wanted = wanted_thread(typed, session.wishes)
        line = command_line(
            arguments,
            typed,
            session.wishes,
            address=address,
            cwd=session.cwd,
            mode=mode,
            saved=None if wanted is None else find_saved(home, wanted, session.cwd),
        )
        if line.remark:
            output.remark(line.remark)
        _keep(_plan(session, line, address, folder), session.codex.path_variable(os.environ))
    finally:
        if lock is not None:
            os.close(lock)
        remove(folder)


def _plan(session: Session, line: CommandLine, address: str, folder: str) -> Plan:
    launch = Launch(
        id=secrets.token_hex(16),
        environment=session.environment,
        approval=line.mode,
        # What a resumed session may do was settled before; else only turns from now on tell.
        at_ms=0 if line.resumes else time.time_ns() // 1_000_000,
        cwd=None if folder else os.path.realpath(session.cwd),
        thread=line.thread,
    )
    program = str(session.codex.path)
    return Plan(
        terminal=[program, *line.arguments],
        server=[program, "app-server", "--listen", address] if folder else [],
        folder=folder,
        cwd=str(Path.cwd()),
        control=str(session.here.places.control_socket),
        launch=_line("codex.launch", LaunchRequest(app_server=address, launch=launch)),
        leave=_line("codex.leave", LeaveRequest(launch=launch.id)),
    )


def _line(op: str, body: Struct) -> dict[str, Any]:
    """A line for the control socket."""
    return {"v": PROTOCOL_VERSION, "op": op, "body": msgspec.to_builtins(body)}


def _keep(plan: Plan, path_variable: str) -> NoReturn:
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(plan).encode())
        file.seek(0)
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - the standard library's form
        root = str(Path(__file__).parents[2])
        keeper = [sys.executable, "-I", "-S", "-c", KEEPER, root, str(file.fileno())]
        _become(keeper, path_variable)


def _become(arguments: list[str], path_variable: str) -> NoReturn:
    """Go on as another program, with this shell's environment."""
    sys.stdout.flush()
    sys.stderr.flush()
    environ = {**os.environ, "PATH": path_variable}
    os.execve(arguments[0], arguments, environ)  # noqa: S606 - there is to be no shell


def _make_folder(sockets: Path) -> tuple[str, int]:
    """Make a session's folder, with a lock that is held for as long as somebody keeps it."""
    own_folder(sockets)
    _sweep(sockets)
    folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=sockets)
    lock = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)  # noqa: FBT003 - the standard library's form
    return folder, lock


def _sweep(sockets: Path) -> None:
    """Remove the folders of sessions whose processes were all killed."""
    for folder in sockets.glob(f"{FOLDER_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it is just being made, or removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            remove(str(folder))
        finally:
            os.close(lock)
