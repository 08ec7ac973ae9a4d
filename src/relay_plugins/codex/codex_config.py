"""What Codex's config.toml says of the plugin; read here, written by Codex alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from relay_core import SettingsError
from relay_plugins.codex.manifest import HOOK_KEYS, MARKETPLACE, PLUGIN_ID

FILE = "config.toml"
RECORDS = ".hook-trust"
"""Where Codex 0.169 keeps a file for each trusted plugin, named by a hash, holding another."""
RECORD_BYTES = 200


class MarketplaceEntry(msgspec.Struct, frozen=True):
    """`[marketplaces.NAME]`."""

    source: str = ""
    source_type: str = ""


class PluginEntry(msgspec.Struct, frozen=True):
    """`[plugins."NAME@MARKETPLACE"]`."""

    enabled: bool = True


class HookEntry(msgspec.Struct, frozen=True):
    """`[hooks.state."KEY"]`."""

    trusted_hash: str | None = None
    trusted_content_hash: str | None = None
    enabled: bool = True


class _Hooks(msgspec.Struct, frozen=True):
    state: dict[str, HookEntry] = {}


class _Config(msgspec.Struct, frozen=True):
    marketplaces: dict[str, MarketplaceEntry] = {}
    plugins: dict[str, PluginEntry] = {}
    hooks: _Hooks = _Hooks()


class CodexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Our part of the file; None and empty where it has none.

    `hook_states` counts all entries below `hooks.state`, `hook_keys` are ours. `trust_records` are
    files of Codex's own that repeat what ours say: 0.169 writes one for each trusted plugin.
    """

    marketplace: MarketplaceEntry | None = None
    plugin: PluginEntry | None = None
    hook_keys: tuple[str, ...] = ()
    hook_states: int = 0
    trust_records: tuple[Path, ...] = ()


def read_codex_config(codex_home: Path) -> CodexConfig:
    """Read our part of a CODEX_HOME's config.toml; SettingsError where Codex could not read it."""
    path = codex_home / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return CodexConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", file=path) from error
    try:
        config = msgspec.convert(tomllib.loads(text), type=_Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            str(error), file=path, fix="mend the file, Codex reads it too"
        ) from error
    state = config.hooks.state
    ours = {key: entry for key, entry in state.items() if key.startswith(HOOK_KEYS)}
    return CodexConfig(
        marketplace=config.marketplaces.get(MARKETPLACE),
        plugin=config.plugins.get(PLUGIN_ID),
        hook_keys=tuple(ours),
        hook_states=len(state),
        trust_records=_records(codex_home, {each.trusted_content_hash for each in ours.values()}),
    )


def _records(codex_home: Path, hashes: set[str | None]) -> tuple[Path, ...]:
    """Find the files that hold one of these hashes and nothing else."""
    wanted = {each.encode() for each in hashes if each}
    return tuple(
        path
        for path in sorted((codex_home / RECORDS).glob("*"))
        if path.is_file()
        and path.stat().st_size <= RECORD_BYTES
        and path.read_bytes().strip() in wanted
    )
