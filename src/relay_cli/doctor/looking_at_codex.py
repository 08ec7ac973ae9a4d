"""Looks at Codex and at the plugin in it, without a trace in the user's CODEX_HOME."""

# Codex leaves files in its home even for `--version`, so that it is given another one here; for
# what it says of the plugin's hook, that home holds copies of what it needs to know.

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from relay_cli.codex_program import codex_environ
from relay_cli.connection import Here
from relay_cli.doctor.facts import CodexFacts, InstallationFacts
from relay_cli.doctor.troubles import trouble
from relay_core.errors import AdapterError, SettingsError
from relay_core.places import Places
from relay_plugins.codex import codex_home
from relay_plugins.codex.codex_config import FILE
from relay_plugins.codex.installed import (
    Copy,
    Installation,
    MarketplaceState,
    PluginState,
    inspect,
    look,
)
from relay_plugins.codex.launcher import BIN_VARIABLE, OLDEST_CODEX, CodexBinary, find_codex
from relay_plugins.codex.manifest import cache_folder


async def look_at_codex(
    environ: Mapping[str, str], here: Here
) -> tuple[CodexFacts, InstallationFacts | None]:
    """Find Codex, ask for its version, and see how the plugin stands in it."""
    named = bool(environ.get(BIN_VARIABLE))
    with tempfile.TemporaryDirectory(prefix="agent-relay-") as folder:
        home = Path(folder) / "codex"
        home.mkdir()
        around = {**codex_environ(here.settings, environ), "HOME": folder, "CODEX_HOME": str(home)}
        codex = None
        try:
            codex = await asyncio.to_thread(find_codex, around)
            facts = CodexFacts(
                path=codex.path, version=codex.version, release=codex.release, named=named
            )
        except (AdapterError, SettingsError) as error:
            facts = CodexFacts(trouble=trouble(error), named=named)
        try:
            found = look(environ, here.places, codex_home(environ))
            if codex is not None and (codex.release or OLDEST_CODEX) >= OLDEST_CODEX:
                found = await _with_trust(found, codex, home, environ, here.places)
        except SettingsError as error:
            return facts, InstallationFacts(trouble=trouble(error))
        except AdapterError as error:
            return msgspec.structs.replace(facts, trouble=trouble(error)), None
    return facts, _facts(found)


async def _with_trust(
    found: Installation,
    codex: CodexBinary,
    home: Path,
    environ: Mapping[str, str],
    places: Places,
) -> Installation:
    """Ask Codex whether the user trusts the hook, with copies of what it goes by."""
    if found.plugin is not PluginState.ENABLED or found.cached is Copy.MISSING:
        return found
    shutil.copyfile(found.codex_home / FILE, home / FILE)
    shutil.copytree(cache_folder(found.codex_home), cache_folder(home))
    around = {**environ, "CODEX_HOME": str(home)}
    asked = await inspect(around, places, home, codex)
    return msgspec.structs.replace(found, hook=asked.hook)


def _facts(found: Installation) -> InstallationFacts:
    target = found.launcher.target
    return InstallationFacts(
        faults=found.faults,
        absent=(
            found.copy is Copy.MISSING
            and found.marketplace is MarketplaceState.MISSING
            and found.plugin is PluginState.MISSING
        ),
        launcher=found.launcher.path,
        leads_to=None if target is None else target.python,
        folder=found.plugin_copy,
        hook_command=found.hook_command,
    )
