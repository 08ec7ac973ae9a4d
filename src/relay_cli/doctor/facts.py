"""What the checks found out, before anybody judges it."""

# Rule: pure. A section that is None could not be looked at, or there was no reason to.

from __future__ import annotations

import enum
from pathlib import Path

from relay_core.discovery import PluginReport
from relay_core.messages import Struct
from relay_core.sessions import Agent
from relay_plugins.codex.installed import Fault


class Trouble(Struct):
    """An error that a check met: its code, its line, what it advises, and the file it is about."""

    code: str
    detail: str
    fix: str | None = None
    file: Path | None = None
    line: int | None = None
    unreadable: bool = False


class VariableFacts(Struct):
    """The environment: wrong values, names that nothing reads (with the nearest that is read), and
    variables of sessions."""

    wrong: tuple[tuple[str, Trouble], ...] = ()
    unknown: tuple[tuple[str, str | None], ...] = ()
    session: tuple[str, ...] = ()


class ProfileFacts(Struct):
    """profiles.json; `unknown` is the trouble with the profile that the environment names."""

    trouble: Trouble | None = None
    unknown: Trouble | None = None


class TokenFacts(Struct):
    """The token: `named` in the environment, else in the file, where there is one."""

    file: Path
    named: bool = False
    short: bool = False
    exposed: bool = False
    trouble: Trouble | None = None


class StoreFacts(Struct):
    """The database and what belongs to it on the disk.

    `free_bytes` is what is free there, where that is less than the hub is to leave.
    """

    file: Path
    files: tuple[Path, ...] = ()
    free_bytes: int | None = None
    trouble: Trouble | None = None


class PluginFacts(Struct):
    """The plugins; `near` holds (name in config.toml, the nearest that is installed)."""

    reports: tuple[PluginReport, ...] = ()
    unmatched: tuple[tuple[str, str | None], ...] = ()
    conflict: Trouble | None = None


class CodexFacts(Struct):
    """Codex; `named` says that the environment names the program."""

    path: Path | None = None
    version: str | None = None
    release: tuple[int, int] | None = None
    trouble: Trouble | None = None
    named: bool = False


class InstallationFacts(Struct):
    """The plugin in Codex: the faults of `relay_plugins.codex.installed`, the gravest first."""

    faults: tuple[Fault, ...] = ()
    absent: bool = False
    launcher: Path | None = None
    leads_to: Path | None = None
    folder: Path | None = None
    hook_command: str = ""
    trouble: Trouble | None = None


class HostState(enum.StrEnum):
    """What is behind the control socket."""

    RUNS = "runs"
    MISSING = "missing"
    STALE = "stale"
    SILENT = "silent"
    FORBIDDEN = "forbidden"


class FolderState(enum.StrEnum):
    """What the folder of the control socket is like."""

    FINE = "fine"
    OPEN = "open to others"
    FOREIGN = "somebody else's"
    NO_FOLDER = "no folder"


class HostFacts(Struct):
    """The host. `pid` is that of whatever listens; `own_version` is this command's; `hub_url` is
    the hub that it serves."""

    socket: Path
    state: HostState
    own_version: str
    folder: FolderState = FolderState.FINE
    version: str | None = None
    pid: int | None = None
    hub_url: str | None = None


class HubState(enum.StrEnum):
    """Who answers where the hub should be."""

    PROVED = "proved"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    STRANGE = "strange"
    UNPROVED = "unproved"
    """A hub, but it knows none of our tokens."""


class HubFacts(Struct):
    """The hub. `origin` is where its address comes from; `file_proves` says that the token file's
    token is known there, where the environment's is not."""

    url: str
    origin: str
    state: HubState
    local: bool = True
    any_port: bool = False
    file_proves: bool = False

    @property
    def named(self) -> str | None:
        """The variable that names it."""
        return "AGENT_RELAY_URL" if self.origin == "AGENT_RELAY_URL" else None


class MailFacts(Struct):
    """What waits and what was lost; `dead_at_least` says that there may be more dead letters.

    `stopped` are the conversations and agents that the guard has stopped, `needs_yes` counts what
    waits for a person.
    """

    agents: tuple[Agent, ...] = ()
    dead: int = 0
    dead_at_least: bool = False
    stopped: tuple[str, ...] = ()
    needs_yes: int = 0


class Facts(Struct):
    """Everything that was looked at. `failed` names checks that did not come to an end."""

    variables: VariableFacts
    token: TokenFacts
    host: HostFacts
    config: Trouble | None = None
    profiles: ProfileFacts | None = None
    store: StoreFacts | None = None
    plugins: PluginFacts | None = None
    codex: CodexFacts | None = None
    installation: InstallationFacts | None = None
    hub: HubFacts | None = None
    mail: MailFacts | None = None
    failed: tuple[tuple[str, str], ...] = ()
