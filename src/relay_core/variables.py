"""Environment variables: each one's name, meaning, default, reach and check, told in one place.

The core's own stand here; plugins keep theirs beside what reads them, in tables of the same form.
An empty variable counts as not set.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from relay_core.errors import SettingsError

DEFAULT_PORT = 4850
SHORTEST_MS = 10
LONGEST_MS = 24 * 60 * 60 * 1_000
MAX_PORT = 65_535

URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?/?")
_TOKEN = re.compile(r"[!-~]{1,512}")
_URL_FIX = f"use http://127.0.0.1:{DEFAULT_PORT}, without a path or a user name"


class Reach(enum.StrEnum):
    """Where a variable counts."""

    MACHINE = "machine"
    """In the environment of each command and of the host, for all sessions."""

    SESSION = "session"
    """In the shell of `agent-relay-codex start`, for the session that it opens, and nowhere else:
    plain `codex` sessions share one process, and so one environment."""

    TEST = "test"
    """In the project's own tests."""


Read = Callable[[str, str], object]
"""(name, value) -> what it means; SettingsError, naming the variable, where it means nothing."""


def any_text(name: str, value: str) -> str:
    """Take a value as it is."""
    del name
    return value


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One environment variable.

    `meaning` and `default` are words for people; `default` is empty where nothing counts instead.
    `setting` is the dotted key of config.toml that it overrules.
    """

    name: str
    meaning: str
    reach: Reach
    default: str = ""
    setting: str | None = None
    secret: bool = False
    read: Read = any_text

    def check(self, environ: Mapping[str, str]) -> None:
        """Do nothing where it is not set or means something; else SettingsError."""
        if value := environ.get(self.name, ""):
            self.read(self.name, value)


def chosen_from(words: Collection[str], noun: str) -> Read:
    """Make a reader that takes one of these words; `noun` is what each of them is."""

    def read(name: str, value: str) -> str:
        if value not in words:
            raise SettingsError(
                f"{name}={value[:100]!r} is no {noun}",
                fix=f"use one of {', '.join(words)}, or unset {name}",
            )
        return value

    return read


def hub_url(name: str, value: str) -> str:
    """Read the address of a hub, in the one spelling that all its spellings share."""
    match = URL.fullmatch(value)
    port = match[3] if match else None
    if match is None or (port is not None and not 0 < int(port) <= MAX_PORT):
        shown = re.sub(r"//.*@", "//…@", value)  # there may be a password
        raise SettingsError(f"{name}: {shown!r} is no URL of a hub", fix=_URL_FIX)
    return f"{match[1]}://{match[2].lower()}" + (f":{int(port)}" if port else "")


def token(name: str, value: str) -> str:
    """Read a token; what is wrong with it is told without it."""
    text = value.removesuffix("\n").removesuffix("\r")
    if not _TOKEN.fullmatch(text):
        raise SettingsError(
            f"{name} is no token: 1 to 512 visible ASCII characters, no spaces",
            fix="copy the output of `agent-relay token show --reveal`",
        )
    return text


def interval_ms(name: str, value: str) -> int:
    """Read a number of milliseconds, from 10 to a day."""
    if not re.fullmatch(r"[0-9]{1,8}", value) or not SHORTEST_MS <= int(value) <= LONGEST_MS:
        raise SettingsError(
            f"{name}: {value!r} is no number of milliseconds",
            fix=f"use {SHORTEST_MS} to {LONGEST_MS}",
        )
    return int(value)


def absolute_path(name: str, value: str) -> Path:
    """Read an absolute path."""
    if not Path(value).is_absolute() or "\0" in value:
        raise SettingsError(f"{name}={value!r} is no absolute path", fix=f"unset {name}")
    return Path(value)


VARIABLES = (
    Variable(
        name="AGENT_RELAY_URL",
        meaning="The address of the hub.",
        default=f"the running host's hub, else http://127.0.0.1:{DEFAULT_PORT}",
        reach=Reach.MACHINE,
        setting="hub.url",
        read=hub_url,
    ),
    Variable(
        name="AGENT_RELAY_TOKEN",
        meaning="The user token of the hub.",
        default="the token file's",
        reach=Reach.MACHINE,
        setting="hub.token",
        secret=True,
        read=token,
    ),
    Variable(
        name="AGENT_RELAY_CODEX_POLL_INTERVAL_MS",
        meaning="How often a session's mail is looked for without a push.",
        default="30000",
        reach=Reach.MACHINE,
        setting="host.repair",
        read=interval_ms,
    ),
    Variable(
        name="AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS",
        meaning="How often a session says that it lives.",
        default="30000",
        reach=Reach.MACHINE,
        setting="host.heartbeat",
        read=interval_ms,
    ),
    Variable(
        name="AGENT_RELAY_HOME",
        meaning="The folder of all files of the relay, in place of those below HOME.",
        reach=Reach.MACHINE,
        read=absolute_path,
    ),
    Variable(
        name="AGENT_RELAY_TEST",
        meaning="Lets the next two count.",
        reach=Reach.TEST,
    ),
    Variable(
        name="AGENT_RELAY_FAILPOINT",
        meaning="Where a process is to be killed, stopped or delayed.",
        reach=Reach.TEST,
    ),
    Variable(
        name="AGENT_RELAY_FAILPOINT_LOG",
        meaning="The file that each hit of a failpoint is written to.",
        reach=Reach.TEST,
    ),
)
"""What the core reads; `setting` names what each becomes in `Settings`."""
