"""How the plugin stands in this user's Codex: what is there, what is missing, what is wrong.

`look` reads files alone; `inspect` also asks Codex which hooks it lists, which starts a
`codex app-server` for a third of a second. Neither changes anything of ours.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

from relay_core import Places, Struct
from relay_plugins.codex.codex_config import CodexConfig, read_codex_config
from relay_plugins.codex.hook_launcher import (
    Launcher,
    LauncherState,
    launcher_file,
    launcher_folder,
    look_at_launcher,
    this_target,
)
from relay_plugins.codex.hook_trust import ListedHook, open_settings
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.manifest import (
    Files,
    cache_folder,
    cached_plugin,
    hook_command,
    manifest_files,
    manifest_folder,
    plugin_files,
    plugin_version,
    read_plugin,
)

COPY_NAME = "codex-plugin"


class Copy(enum.StrEnum):
    """How a copy of the plugin's files stands."""

    MISSING = "missing"
    CHANGED = "changed"
    CURRENT = "current"


class MarketplaceState(enum.StrEnum):
    """What Codex's config.toml says of our marketplace."""

    MISSING = "missing"
    ELSEWHERE = "elsewhere"
    """A marketplace of this name leads to another folder."""
    ADDED = "added"


class PluginState(enum.StrEnum):
    """What Codex's config.toml says of our plugin."""

    MISSING = "missing"
    DISABLED = "disabled"
    ENABLED = "enabled"


class HookTrust(enum.StrEnum):
    """Whether Codex runs our hook."""

    UNKNOWN = "unknown"
    """Codex was not asked."""
    UNLISTED = "unlisted"
    """Codex lists no hook of ours, or one that it does not know how to name."""
    UNTRUSTED = "untrusted"
    MODIFIED = "modified"
    DISABLED = "disabled"
    TRUSTED = "trusted"


class Fault(enum.StrEnum):
    """What can be wrong, the gravest first."""

    NOT_INSTALLED = "not_installed"
    MARKETPLACE_VANISHED = "marketplace_vanished"
    """Codex knows our marketplace, but its folder is gone: `codex plugin list` fails."""
    MARKETPLACE_ELSEWHERE = "marketplace_elsewhere"
    MARKETPLACE_MISSING = "marketplace_missing"
    COPY_CHANGED = "copy_changed"
    PLUGIN_MISSING = "plugin_missing"
    PLUGIN_DISABLED = "plugin_disabled"
    PLUGIN_CHANGED = "plugin_changed"
    """Codex's own copy is missing or not the one of this release."""
    LAUNCHER_MISSING = "launcher_missing"
    LAUNCHER_DAMAGED = "launcher_damaged"
    LAUNCHER_DEAD = "launcher_dead"
    LAUNCHER_ELSEWHERE = "launcher_elsewhere"
    HOOK_UNLISTED = "hook_unlisted"
    HOOK_DISABLED = "hook_disabled"
    HOOK_MODIFIED = "hook_modified"
    HOOK_UNTRUSTED = "hook_untrusted"


class Installation(Struct):
    """How everything stands.

    `plugin_copy` is the folder that the marketplace leads to. `hook_command` is what Codex runs,
    or would run; `hook_keys` are our entries below `hooks.state` of its config.toml, and
    `trust_records` the files that Codex made of them. `faults` is empty where a new session will
    be given its context.
    """

    codex_home: Path
    plugin_copy: Path
    copy: Copy
    marketplace: MarketplaceState
    marketplace_source: str | None
    plugin: PluginState
    cached: Copy
    launcher: Launcher
    hook_command: str
    hook: HookTrust = HookTrust.UNKNOWN
    hook_keys: tuple[str, ...] = ()
    other_hook_states: bool = False
    trust_records: tuple[Path, ...] = ()

    @property
    def untouched(self) -> bool:
        """Nothing of ours is there at all."""
        return (
            self.copy is Copy.MISSING
            and self.marketplace is MarketplaceState.MISSING
            and self.plugin is PluginState.MISSING
            and self.launcher.state is LauncherState.MISSING
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything that keeps sessions from being given their context."""
        if self.untouched:
            return (Fault.NOT_INSTALLED,)
        return tuple(fault for fault in Fault if fault in _faults(self))


def look(environ: Mapping[str, str], places: Places, codex_home: Path) -> Installation:
    """See how everything stands, without asking Codex.

    Raises SettingsError where Codex's config.toml cannot be read, AdapterError where this
    installation itself is not whole.
    """
    ours = manifest_files(manifest_folder())
    config = read_codex_config(codex_home)
    copy = plugin_copy(environ)
    root = cached_plugin(codex_home, plugin_version(ours))
    return Installation(
        codex_home=codex_home,
        plugin_copy=copy,
        copy=_compare(manifest_files(copy), ours),
        marketplace=_marketplace(config, copy),
        marketplace_source=None if config.marketplace is None else config.marketplace.source,
        plugin=_plugin(config),
        cached=_compare_cached(codex_home, root, ours),
        launcher=look_at_launcher(launcher_file(environ), this_target(environ, places)),
        hook_command=hook_command(ours, root),
        hook_keys=config.hook_keys,
        other_hook_states=config.hook_states > len(config.hook_keys),
        trust_records=config.trust_records,
    )


async def inspect(
    environ: Mapping[str, str], places: Places, codex_home: Path, codex: CodexBinary
) -> Installation:
    """See how everything stands, hook trust included.

    Raises what `look` raises, and AdapterError where Codex does not answer.
    """
    import msgspec

    found = look(environ, places, codex_home)
    if found.plugin is not PluginState.ENABLED or found.cached is Copy.MISSING:
        return found
    async with open_settings(codex, codex_home, environ) as server:
        hooks = await server.our_hooks()
    return msgspec.structs.replace(found, hook=judge_hooks(hooks))


def judge_hooks(hooks: tuple[ListedHook, ...]) -> HookTrust:
    """Tell from what Codex lists whether it runs our hook."""
    if len(hooks) != 1:
        return HookTrust.UNLISTED
    (hook,) = hooks
    if not hook.enabled:
        return HookTrust.DISABLED
    known = {str(trust): trust for trust in (HookTrust.UNTRUSTED, HookTrust.MODIFIED)}
    known["trusted"] = HookTrust.TRUSTED
    return known.get(hook.trust_status, HookTrust.UNTRUSTED)


def plugin_copy(environ: Mapping[str, str]) -> Path:
    """The folder that Codex's marketplace of ours leads to; always below HOME."""
    return launcher_folder(environ) / COPY_NAME


def is_installed(environ: Mapping[str, str]) -> bool:
    """Tell, by one look at one folder, whether this user has installed the plugin."""
    return plugin_copy(environ).is_dir()


def _faults(found: Installation) -> set[Fault]:
    faults: set[Fault] = set()
    added = found.marketplace is MarketplaceState.ADDED
    if found.marketplace is MarketplaceState.MISSING:
        faults.add(Fault.MARKETPLACE_MISSING)
    if found.marketplace is MarketplaceState.ELSEWHERE:
        faults.add(Fault.MARKETPLACE_ELSEWHERE)
    if found.copy is Copy.MISSING:
        faults.add(Fault.MARKETPLACE_VANISHED if added else Fault.COPY_CHANGED)
    if found.copy is Copy.CHANGED:
        faults.add(Fault.COPY_CHANGED)
    match found.plugin:
        case PluginState.MISSING:
            faults.add(Fault.PLUGIN_MISSING)
        case PluginState.DISABLED:
            faults.add(Fault.PLUGIN_DISABLED)
        case PluginState.ENABLED if found.cached is not Copy.CURRENT:
            faults.add(Fault.PLUGIN_CHANGED)
        case _:
            pass
    if found.launcher.state is not LauncherState.CURRENT:
        faults.add(Fault(f"launcher_{found.launcher.state}"))
    if found.hook not in {HookTrust.UNKNOWN, HookTrust.TRUSTED}:
        faults.add(Fault(f"hook_{found.hook}"))
    return faults


def _compare(found: Files, wanted: Files) -> Copy:
    if not found:
        return Copy.MISSING
    return Copy.CURRENT if found == wanted else Copy.CHANGED


def _compare_cached(codex_home: Path, root: Path, ours: Files) -> Copy:
    """Compare Codex's own copy, which may also be one of another version."""
    state = _compare(read_plugin(root), plugin_files(ours))
    if state is Copy.MISSING and read_plugin(cache_folder(codex_home)):
        return Copy.CHANGED
    return state


def _marketplace(config: CodexConfig, copy: Path) -> MarketplaceState:
    if config.marketplace is None:
        return MarketplaceState.MISSING
    source = Path(config.marketplace.source)
    same = source == copy or source.resolve() == copy.resolve()
    return MarketplaceState.ADDED if same else MarketplaceState.ELSEWHERE


def _plugin(config: CodexConfig) -> PluginState:
    if config.plugin is None:
        return PluginState.MISSING
    return PluginState.ENABLED if config.plugin.enabled else PluginState.DISABLED
