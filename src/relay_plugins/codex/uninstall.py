"""Taking the plugin out of this user's Codex, and everything of ours with `--purge`.

As in `install`: `plan_removal` lists steps, `remove` does one, and each can be done again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from relay_core import Places, Struct
from relay_plugins.codex.hook_launcher import LauncherState
from relay_plugins.codex.hook_trust import open_settings
from relay_plugins.codex.install import Step, run_codex
from relay_plugins.codex.installed import Copy, Installation, MarketplaceState, PluginState
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.lock import FOLDER
from relay_plugins.codex.login_service import Service, forget_login
from relay_plugins.codex.manifest import MARKETPLACE, PLUGIN_ID, cache_folder

PRIVATE = 0o700


class RemovePlugin(Step, tag="remove_plugin"):
    """Let Codex remove the plugin and its copy."""

    @property
    def words(self) -> str:
        return f"run `codex plugin remove {PLUGIN_ID}`"


class RemoveMarketplace(Step, tag="remove_marketplace"):
    """Let Codex forget the marketplace."""

    @property
    def words(self) -> str:
        return f"run `codex plugin marketplace remove {MARKETPLACE}`"


class ForgetTrust(Step, tag="forget_trust"):
    """Take the trust in our hook out of Codex's config.toml."""

    keys: tuple[str, ...]
    others: bool

    @property
    def words(self) -> str:
        return "take the trust in the plugin's hook out of Codex's config.toml"


class RemoveTrustRecord(Step, tag="remove_trust_record"):
    """Remove the file in which Codex repeats that trust."""

    path: Path

    @property
    def words(self) -> str:
        return f"remove {self.path}, in which Codex keeps that trust as well"


class RemoveFolder(Step, tag="remove_folder"):
    """Remove a folder with all that is in it."""

    path: Path

    @property
    def words(self) -> str:
        return f"remove {self.path}"


class RemoveCache(Step, tag="remove_cache"):
    """Remove the folder that Codex leaves of a removed plugin."""

    path: Path

    @property
    def words(self) -> str:
        return f"remove {self.path}, which Codex leaves behind"


class RemoveFile(Step, tag="remove_file"):
    """Remove one file."""

    path: Path

    @property
    def words(self) -> str:
        return f"remove {self.path}"


class ForgetLogin(Step, tag="forget_login"):
    """Do not run the host at login any more."""

    service: Service

    @property
    def words(self) -> str:
        return f"switch off and remove {self.service.file}"


class StopHost(Step, tag="stop_host"):
    """Stop the running host."""

    @property
    def words(self) -> str:
        return "stop the running host"


class RemoveLocks(Step, tag="remove_locks"):
    """Remove the locks of threads in CODEX_HOME."""

    path: Path

    @property
    def words(self) -> str:
        return f"remove the locks in {self.path}"


class Leftovers(Struct):
    """What the plan needs to know beside the installation."""

    service: Service
    host_runs: bool
    launcher_folder: Path
    places: Places


def plan_removal(found: Installation, left: Leftovers, *, purge: bool) -> tuple[Step, ...]:
    """List what has to be done, in order."""
    steps: list[Step] = []
    if left.service.is_written:
        steps.append(ForgetLogin(service=left.service))
    if found.plugin is not PluginState.MISSING or found.cached is not Copy.MISSING:
        steps.append(RemovePlugin())
    if found.marketplace is not MarketplaceState.MISSING:
        steps.append(RemoveMarketplace())
    if found.hook_keys:
        steps.append(ForgetTrust(keys=found.hook_keys, others=found.other_hook_states))
    steps += [RemoveTrustRecord(path=path) for path in found.trust_records]
    cache = cache_folder(found.codex_home)
    if steps or cache.is_dir():
        steps.append(RemoveCache(path=cache))
    if found.launcher.state is not LauncherState.MISSING:
        steps.append(RemoveFile(path=found.launcher.path))
    if os.path.lexists(found.plugin_copy):
        steps.append(RemoveFolder(path=found.plugin_copy))
    if purge:
        steps += _purge(found, left)
    return tuple(steps)


def _purge(found: Installation, left: Leftovers) -> list[Step]:
    steps: list[Step] = []
    if left.host_runs:
        steps.append(StopHost())
    locks = found.codex_home / FOLDER
    if locks.is_dir():
        steps.append(RemoveLocks(path=locks))
    folders = dict.fromkeys((left.launcher_folder, left.places.data, left.places.config))
    steps += [RemoveFolder(path=path) for path in folders if os.path.lexists(path)]
    if os.path.lexists(left.places.control_socket):
        steps.append(RemoveFile(path=left.places.control_socket))
    return steps


def needs_codex(step: Step) -> bool:
    """Tell whether only Codex itself can do this step."""
    return isinstance(step, RemovePlugin | RemoveMarketplace | ForgetTrust)


async def remove_from_codex(
    step: Step, codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> None:
    """Do one step that Codex has to do; raises AdapterError with what it said."""
    match step:
        case RemovePlugin():
            run_codex(codex, ("remove", PLUGIN_ID), codex_home, environ)
        case RemoveMarketplace():
            run_codex(codex, ("marketplace", "remove", MARKETPLACE), codex_home, environ)
        case ForgetTrust():
            await _forget_trust(step, codex, codex_home, environ)
        case _:
            raise NotImplementedError(step)


def remove(step: Step, environ: Mapping[str, str]) -> str | None:
    """Do one step that needs neither Codex nor the host; return what could not be done, and why."""
    kept = _kept_folders(environ)
    match step:
        case RemoveFolder(path=path):
            _remove_folder(path)
            _remove_empty(path.parent, kept)
        case RemoveCache(path=path):
            _remove_folder(path)
        case RemoveTrustRecord(path=path):
            path.unlink(missing_ok=True)
        case RemoveFile(path=path):
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, kept)
        case ForgetLogin():
            complaint = forget_login(step.service, environ)
            _remove_empty(step.service.file.parent / "default.target.wants", kept)
            return complaint
        case RemoveLocks(path=path):
            return _remove_locks(path)
        case _:
            raise NotImplementedError(step)
    return None


async def _forget_trust(
    step: ForgetTrust, codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> None:
    """Remove our entries; with the last entry, also the empty table that Codex would keep."""
    async with open_settings(codex, codex_home, environ) as server:
        for key in step.keys:
            await server.forget(("hooks", "state", key))
        if not step.others:
            await server.forget(("hooks", "state"))


def _remove_folder(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _kept_folders(environ: Mapping[str, str]) -> set[Path]:
    """List the folders that are there whether we are or not."""
    home = Path(environ.get("HOME") or "/")
    relay = Path(environ.get("AGENT_RELAY_HOME") or home)
    return {home, *home.parents, *relay.parents}


def _remove_empty(folder: Path, kept: set[Path]) -> None:
    """Remove a folder and those above it while they are empty and as private as we make them."""
    while folder not in kept:
        try:
            found = folder.lstat()
            if stat.S_IMODE(found.st_mode) != PRIVATE or found.st_uid != os.getuid():
                return
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # not empty
            return
        folder = folder.parent


def _remove_locks(folder: Path) -> str | None:
    """Remove each lock that no host holds: another host may be waiting on that very file."""
    left = 0
    for path in folder.glob("*.lock"):
        try:
            opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            left += 1
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except OSError:
            left += 1
        finally:
            os.close(opened)
    with contextlib.suppress(OSError):
        folder.rmdir()
    return f"{left} locks in {folder} are held by a running host" if left else None
