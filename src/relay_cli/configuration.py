"""What counts here, and why: every setting, place and variable with where its value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from relay_cli.codex_program import named_program
from relay_cli.connection import Here, find_hub
from relay_cli.shell_folder import shell_folder
from relay_cli.variables import DEBUG, VARIABLES
from relay_core.errors import SettingsError
from relay_core.messages import Struct
from relay_core.variables import Reach, Variable
from relay_plugins.codex import codex_home
from relay_plugins.codex import variables as codex
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.approval import MODES
from relay_plugins.codex.variables import CODEX_BIN, CODEX_HOME
from relay_plugins.profiles import profile_for, profiles_path
from relay_plugins.profiles import variables as profiles
from relay_plugins.profiles.file import Profile

DEFAULT = "default"
TOKEN_SET = "(set)"  # noqa: S105 - what is shown in place of a token


class Entry(Struct):
    """One value that counts.

    `variable` is what overrules it; `counts` is `session` where it counts for the sessions that
    `agent-relay-codex start` opens from here, and nowhere else; `problem` says why there is none.
    """

    key: str
    value: msgspec.Raw
    origin: str
    variable: str | None = None
    counts: Reach = Reach.MACHINE
    problem: str | None = None

    @property
    def text(self) -> str:
        """The value for people: a string bare, nothing as a dash."""
        value = msgspec.json.decode(self.value)
        if value is None:
            return "-"
        return value if isinstance(value, str) else bytes(self.value).decode()


async def entries(here: Here, environ: Mapping[str, str]) -> tuple[Entry, ...]:
    """List everything that counts in this environment; changes nothing."""
    return (
        *_places(here, environ),
        *await _settings(here),
        *_codex(here, environ),
        *_session(environ),
        *_others(environ),
    )


# --- what counts for all sessions ------------------------------------------------------------


def _places(here: Here, environ: Mapping[str, str]) -> Iterator[Entry]:
    below = "AGENT_RELAY_HOME" if environ.get("AGENT_RELAY_HOME") else "HOME"
    places = here.places
    for key, path in (
        ("config_file", places.config_file),
        ("data", places.data),
        ("token_file", places.token_file),
        ("store_file", places.store_file),
        ("state_file", places.state_file),
        ("decisions_file", places.decisions_file),
        ("logs", places.logs),
    ):
        yield _entry(f"places.{key}", str(path), _environment(below), "AGENT_RELAY_HOME")
    yield _entry("places.control_socket", str(places.control_socket), DEFAULT)
    yield _profiles_file(environ)


def _profiles_file(environ: Mapping[str, str]) -> Entry:
    key, variable = "places.profiles_file", profiles.FILE.name
    origin = _environment(variable) if environ.get(variable) else DEFAULT
    try:
        return _entry(key, str(profiles_path(environ)), origin, variable)
    except SettingsError as error:
        return _entry(key, None, origin, variable, problem=error.detail)


async def _settings(here: Here) -> list[Entry]:
    variables = {each.setting: each.name for each in VARIABLES if each.setting is not None}
    found = {
        one.key: Entry(
            key=one.key,
            value=msgspec.Raw(one.value.encode()),
            origin=one.origin,
            variable=variables.get(one.key),
        )
        for one in here.settings.origins
    }
    place = await find_hub(here, None)
    url, token, store = found["hub.url"], found["hub.token"], found["hub.store"]
    if url.origin == DEFAULT:
        found["hub.url"] = _entry(url.key, place.url, _told(place.found_by), url.variable)
    if token.origin == DEFAULT and here.places.token_file.exists():
        origin = str(here.places.token_file)
        found["hub.token"] = _entry(token.key, TOKEN_SET, origin, token.variable)
    if store.origin == DEFAULT:
        found["hub.store"] = _entry(store.key, str(here.places.store_file), DEFAULT)
    return list(found.values())


def _told(found_by: str) -> str:
    return DEFAULT if found_by == "the default" else found_by


def _codex(here: Here, environ: Mapping[str, str]) -> Iterator[Entry]:
    named = environ.get(CODEX_HOME.name)
    origin = _environment(CODEX_HOME.name if named else "HOME")
    try:
        yield _entry("codex.home", str(codex_home(environ)), origin, CODEX_HOME.name)
    except SettingsError as error:
        yield _entry("codex.home", None, origin, CODEX_HOME.name, problem=error.detail)
    entry = _from_variable("codex.bin", CODEX_BIN, environ, counts=Reach.MACHINE)
    program = named_program(here.settings)
    if entry.origin == DEFAULT and program is not None:
        origin = next(one.origin for one in here.settings.origins if one.key == ADAPTER)
        entry = _entry(entry.key, program, origin, entry.variable)
    yield entry


def _others(environ: Mapping[str, str]) -> Iterator[Entry]:
    """Whatever is set and stands for no setting: what is for tests and for finding faults."""
    for each in VARIABLES:
        wanted = each.reach is Reach.TEST and environ.get(each.name)
        if wanted or each is DEBUG:
            key = each.name.removeprefix("AGENT_RELAY_").lower()
            yield _from_variable(f"process.{key}", each, environ, counts=each.reach)


# --- what counts for one session -------------------------------------------------------------

_FROM_PROFILE: tuple[tuple[str, Variable, object], ...] = (
    ("label", profiles.LABEL, None),
    ("tags", profiles.TAGS, ()),
    ("capabilities", profiles.CAPS, ("chat",)),
    ("channels", profiles.CHANNELS, ()),
    ("approval", profiles.APPROVAL, None),
)
_FROM_SHELL: tuple[tuple[str, Variable, object], ...] = (
    ("rig", profiles.RIG, profiles.RIG.default),
    ("state_path", codex.STATE_PATH, None),
    ("app_server_url", codex.APP_SERVER_URL, None),
    ("thread_id", codex.THREAD_ID, None),
    ("thread_mode", codex.THREAD_MODE, codex.THREAD_MODE.default),
    ("model", codex.MODEL, None),
)


def _session(environ: Mapping[str, str]) -> Iterator[Entry]:
    cwd = _from_variable("session.cwd", codex.CWD, environ, shell_folder(environ))
    yield cwd
    profile, chosen = _chosen(environ, cwd.text)
    yield chosen
    mode: object = None
    for key, variable, otherwise in _FROM_PROFILE:
        entry = _from_variable(f"session.{key}", variable, environ, otherwise)
        own = getattr(profile, key)
        if entry.origin == DEFAULT and own:
            entry = _entry(
                entry.key, own, f"profile {profile.name}", variable.name, counts=Reach.SESSION
            )
        if chosen.problem is not None and entry.origin == DEFAULT:
            entry = msgspec.structs.replace(entry, problem="depends on the profile")
        if key == "approval" and entry.problem is None:
            mode = msgspec.json.decode(entry.value)
        yield entry
    yield from _flags(environ, mode)
    for key, variable, otherwise in _FROM_SHELL:
        yield _from_variable(f"session.{key}", variable, environ, otherwise)


def _chosen(environ: Mapping[str, str], cwd: str) -> tuple[Profile, Entry]:
    key, variable = "session.profile", profiles.PROFILE.name
    named = environ.get(variable, "").strip()
    origin = _environment(variable) if named else DEFAULT
    try:
        profile = profile_for(environ, cwd)
        if profile.name and not named:
            origin = f"match in {profiles_path(environ)}"
    except SettingsError as error:
        entry = _entry(
            key, named or None, origin, variable, problem=error.detail, counts=Reach.SESSION
        )
        return Profile(), entry
    return profile, _entry(key, profile.name or None, origin, variable, counts=Reach.SESSION)


def _flags(environ: Mapping[str, str], mode: object) -> Iterator[Entry]:
    """What Codex is asked for: by the variables, else by the approval mode, else nothing."""
    flags = MODES.get(mode) if isinstance(mode, str) else None
    for key, variable, asked in (
        ("approval_policy", codex.APPROVAL_POLICY, flags.approval if flags else None),
        ("sandbox", codex.SANDBOX, flags.sandbox if flags else None),
    ):
        entry = _from_variable(f"session.{key}", variable, environ, asked)
        if entry.origin == DEFAULT and asked:
            entry = msgspec.structs.replace(entry, origin="session.approval")
        yield entry


# --- making one ------------------------------------------------------------------------------


def _from_variable(
    key: str,
    variable: Variable,
    environ: Mapping[str, str],
    otherwise: object = None,
    *,
    counts: Reach = Reach.SESSION,
) -> Entry:
    given = environ.get(variable.name, "")
    origin = _environment(variable.name)
    try:
        value = variable.read(variable.name, given) if given else None
    except SettingsError as error:
        return _entry(key, given, origin, variable.name, problem=error.detail, counts=counts)
    if not value:  # an empty list or nothing but blanks counts as not set
        return _entry(key, otherwise, DEFAULT, variable.name, counts=counts)
    shown = str(value) if isinstance(value, Path) else value
    return _entry(key, shown, origin, variable.name, counts=counts)


def _entry(
    key: str,
    value: object,
    origin: str,
    variable: str | None = None,
    *,
    problem: str | None = None,
    counts: Reach = Reach.MACHINE,
) -> Entry:
    return Entry(
        key=key,
        value=msgspec.Raw(msgspec.json.encode(value)),
        origin=origin,
        variable=variable,
        problem=problem,
        counts=counts,
    )


def _environment(name: str) -> str:
    return f"environment {name}"
