"""Which Codex the user means: the variable, else `bin` in `[codex]` of config.toml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from relay_core.errors import SettingsError
from relay_core.settings import Settings
from relay_plugins.codex import read_settings
from relay_plugins.codex.launcher import ADAPTER, BIN_VARIABLE

NOTHING = msgspec.Raw(b"{}")


def named_program(settings: Settings) -> str | None:
    """The program that config.toml names; SettingsError where its table `[codex]` is wrong."""
    try:
        return read_settings(settings.adapters.get(ADAPTER, NOTHING)).bin
    except SettingsError as error:
        origin = next(one.origin for one in settings.origins if one.key == ADAPTER)
        file, _, line = origin.rpartition(":")
        raise SettingsError(error.detail, file=Path(file), line=int(line), fix=error.fix) from error


def codex_environ(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Codex is to be looked for."""
    named = named_program(settings)
    if named is None or environ.get(BIN_VARIABLE):
        return dict(environ)
    return {**environ, BIN_VARIABLE: named}
