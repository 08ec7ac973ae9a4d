"""Where this user's files and sockets are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from relay_core.errors import SettingsError
from relay_core.messages import Struct

_HOME_FIX = "export HOME to your home folder"


class Places(Struct):
    """The folders of one user, below AGENT_RELAY_HOME where that is set, else from HOME only.

    XDG variables never count: the environment of a hook has none, and both must meet.
    """

    config: Path
    data: Path
    sockets: Path

    @property
    def config_file(self) -> Path:
        """Settings of the host, the hub and the plugins."""
        return self.config / "config.toml"

    @property
    def profiles_file(self) -> Path:
        """Profiles, where AGENT_RELAY_PROFILES_FILE names no other file."""
        return self.config / "profiles.json"

    @property
    def token_file(self) -> Path:
        """The user token, 0600."""
        return self.data / "token"

    @property
    def store_file(self) -> Path:
        """The hub's SQLite database."""
        return self.data / "hub.sqlite"

    @property
    def state_file(self) -> Path:
        """What the host remembers over restarts: sessions attached by hand."""
        return self.data / "host.json"

    @property
    def decisions_file(self) -> Path:
        """What was decided about messages, and why; 0600."""
        return self.data / "decisions.jsonl"

    @property
    def logs(self) -> Path:
        """Log files of detached hosts."""
        return self.data / "logs"

    @property
    def control_socket(self) -> Path:
        """The host's control socket; short, because longer paths fail at 107 bytes."""
        import hashlib  # heavy, and few need the socket

        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return self.sockets / f"{digest}.sock"


def find_places(environ: Mapping[str, str], uid: int) -> Places:
    """Work out the places from an environment; SettingsError when neither variable is usable."""
    home = environ.get("AGENT_RELAY_HOME", "")
    sockets = Path(f"/tmp/agent-relay-{uid}")  # noqa: S108 - 0700 and owned by us, or refused
    if home:
        root = _absolute("AGENT_RELAY_HOME", home)
        return Places(config=root / "config", data=root / "data", sockets=sockets)
    root = _absolute("HOME", environ.get("HOME", ""))
    return Places(
        config=root / ".config" / "agent-relay",
        data=root / ".local" / "share" / "agent-relay",
        sockets=sockets,
    )


def _absolute(name: str, value: str) -> Path:
    if not value:
        raise SettingsError(f"{name} is not set", fix=_HOME_FIX)
    if not Path(value).is_absolute() or "\0" in value:
        fix = _HOME_FIX if name == "HOME" else f"unset {name}"
        raise SettingsError(f"{name}={value!r} is not an absolute path", fix=fix)
    return Path(value)
