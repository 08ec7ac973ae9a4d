"""The environment variables that say which Codex runs, and what session `start` opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relay_core import Reach, SettingsError, Struct, Variable, absolute_path, chosen_from
from relay_plugins.codex.address import check_thread_id, parse_address

MAX_LENGTH = 200


def _folder(name: str, value: str) -> Path:
    path = _path(name, value)
    if not path.is_dir():
        raise SettingsError(f"{name}: {path} is no folder", fix=f"make it, or unset {name}")
    return path


def _file(name: str, value: str) -> Path:
    path = _path(name, value)
    if path.is_dir():
        raise SettingsError(f"{name}: {path} is a folder", fix="name a file")
    return path


def _path(name: str, value: str) -> Path:
    """A relative path counts from where the command is typed, as the shell's own do."""
    if "\0" in value:
        raise SettingsError(f"{name} holds a NUL", fix=f"unset {name}")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"{name}={value!r}: {error}", fix="write the whole path") from error


def _app_server(name: str, value: str) -> str:
    try:
        parse_address(value, Path("/"))
    except SettingsError as error:
        raise SettingsError(f"{name}: {error.detail}", fix=error.fix) from error
    return value


def _thread_id(name: str, value: str) -> str:
    try:
        return check_thread_id(value)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error.detail}", fix=error.fix) from error


def _model(name: str, value: str) -> str:
    if not value.isprintable() or value.startswith("-") or len(value) > MAX_LENGTH:
        raise SettingsError(f"{name}={value[:100]!r} is no name of a model", fix=f"unset {name}")
    return value


CODEX_BIN = Variable(
    name="AGENT_RELAY_CODEX_BIN",
    meaning="The Codex program.",
    default="`bin` in `[codex]` of config.toml, else `codex` on PATH, else the one of the extra "
    "`codex`",
    reach=Reach.MACHINE,
    read=_path,
)
CODEX_HOME = Variable(
    name="CODEX_HOME",
    meaning="Codex's own folder.",
    default="~/.codex",
    reach=Reach.MACHINE,
    read=absolute_path,
)
CWD = Variable(
    name="AGENT_RELAY_CODEX_CWD",
    meaning="The folder that the session works in.",
    default="the current folder",
    reach=Reach.SESSION,
    read=_folder,
)
STATE_PATH = Variable(
    name="AGENT_RELAY_CODEX_STATE_PATH",
    meaning="A file that the session's status is written to.",
    reach=Reach.SESSION,
    read=_file,
)
APPROVAL_POLICY = Variable(
    name="AGENT_RELAY_CODEX_APPROVAL_POLICY",
    meaning="Codex's approval policy, before what the approval mode asks for.",
    default="the approval mode's, else Codex's own settings",
    reach=Reach.SESSION,
    read=chosen_from(("on-request", "never"), "approval policy of Codex"),
)
SANDBOX = Variable(
    name="AGENT_RELAY_CODEX_SANDBOX",
    meaning="Codex's sandbox, before what the approval mode asks for.",
    default="the approval mode's, else Codex's own settings",
    reach=Reach.SESSION,
    read=chosen_from(("read-only", "workspace-write", "danger-full-access"), "sandbox of Codex"),
)
APP_SERVER_URL = Variable(
    name="CODEX_APP_SERVER_URL",
    meaning="A running app-server to use, in place of a new one.",
    default="a new app-server",
    reach=Reach.SESSION,
    read=_app_server,
)
THREAD_ID = Variable(
    name="CODEX_THREAD_ID",
    meaning="The thread to go on with.",
    reach=Reach.SESSION,
    read=_thread_id,
)
THREAD_MODE = Variable(
    name="CODEX_THREAD_MODE",
    meaning="Whether to start a thread, to resume one, or to find out (auto).",
    default="start",
    reach=Reach.SESSION,
    read=chosen_from(("start", "resume", "auto"), "way to open a thread"),
)
MODEL = Variable(
    name="CODEX_MODEL",
    meaning="The model of the session.",
    default="Codex's own setting",
    reach=Reach.SESSION,
    read=_model,
)

VARIABLES = (
    CODEX_BIN,
    CODEX_HOME,
    CWD,
    STATE_PATH,
    APPROVAL_POLICY,
    SANDBOX,
    APP_SERVER_URL,
    THREAD_ID,
    THREAD_MODE,
    MODEL,
)


class SessionWishes(Struct):
    """What a shell says about the session that `start` opens; None where it says nothing.

    `app_server_url` is an address as `parse_address` takes it.
    """

    cwd: Path | None = None
    state_path: Path | None = None
    approval_policy: str | None = None
    sandbox: str | None = None
    app_server_url: str | None = None
    thread_id: str | None = None
    thread_mode: str = "start"
    model: str | None = None


def read_wishes(environ: Mapping[str, str]) -> SessionWishes:
    """Read what the session's variables say; SettingsError for the first that means nothing."""
    return SessionWishes(
        cwd=_folder(CWD.name, value) if (value := environ.get(CWD.name)) else None,
        state_path=_file(STATE_PATH.name, value)
        if (value := environ.get(STATE_PATH.name))
        else None,
        approval_policy=_word(environ, APPROVAL_POLICY),
        sandbox=_word(environ, SANDBOX),
        app_server_url=_word(environ, APP_SERVER_URL),
        thread_id=_word(environ, THREAD_ID),
        thread_mode=_word(environ, THREAD_MODE) or "start",
        model=_word(environ, MODEL),
    )


def _word(environ: Mapping[str, str], variable: Variable) -> str | None:
    variable.check(environ)
    return environ.get(variable.name) or None
