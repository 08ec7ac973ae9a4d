"""Installing the plugin into this user's Codex: what has to be done, and doing it.

`plan` is pure: it looks at how everything stands and lists steps; where nothing is to be done it
lists none. `carry_out` does one step. Each step can be done again: a run that broke off in the
middle is mended by the next.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from relay_core import AdapterError, Struct, make_private_folder
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.hook_launcher import LauncherState, Target, write_launcher
from relay_plugins.codex.hook_trust import ListedHook, codex_environ, open_settings
from relay_plugins.codex.installed import (
    Copy,
    HookTrust,
    Installation,
    MarketplaceState,
    PluginState,
    judge_hooks,
)
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.login_service import Service, start_at_login
from relay_plugins.codex.manifest import (
    MARKETPLACE,
    PLUGIN_ID,
    cached_plugin,
    hook_command,
    manifest_files,
    manifest_folder,
    plugin_files,
    plugin_version,
    read_plugin,
)

CODEX_LIMIT_S = 120.0


class Step(Struct, tag_field="step"):
    """Something to be done."""

    @property
    def words(self) -> str:
        """Say it to the user."""
        raise NotImplementedError


class CopyPlugin(Step, tag="copy_plugin"):
    """Put the plugin's files where Codex is to find them."""

    to: Path

    @property
    def words(self) -> str:
        return f"copy the plugin's files to {self.to}"


class WriteLauncher(Step, tag="write_launcher"):
    """Write the launcher file."""

    path: Path
    target: Target

    @property
    def words(self) -> str:
        return f"write {self.path}, which runs {self.target.python}"


class RemoveMarketplace(Step, tag="remove_marketplace"):
    """Take away a marketplace of our name that leads elsewhere."""

    source: str

    @property
    def words(self) -> str:
        return f"run `codex plugin marketplace remove {MARKETPLACE}`, which leads to {self.source}"


class AddMarketplace(Step, tag="add_marketplace"):
    """Tell Codex of the copied folder."""

    source: Path

    @property
    def words(self) -> str:
        return f"run `codex plugin marketplace add {self.source}`"


class AddPlugin(Step, tag="add_plugin"):
    """Let Codex install the plugin, or refresh its copy."""

    @property
    def words(self) -> str:
        return f"run `codex plugin add {PLUGIN_ID}`"


class TrustHook(Step, tag="trust_hook"):
    """Let Codex run our hook without asking."""

    command: str

    @property
    def words(self) -> str:
        return f"let Codex run this when a session starts: {self.command}"


class StartAtLogin(Step, tag="start_at_login"):
    """Run the host whenever this user logs in, and now."""

    service: Service

    @property
    def words(self) -> str:
        return f"write {self.service.file} and switch it on: the host runs at each login"


class StartHost(Step, tag="start_host"):
    """Start the host now; one of another version hands over to it."""

    instead_of: str | None = None

    @property
    def words(self) -> str:
        taking_over = "" if self.instead_of is None else f" instead of version {self.instead_of}"
        return f"start the host{taking_over} (`agent-relay up --detach`)"


class Wishes(Struct):
    """What the user wants beside the plugin itself."""

    trust_hook: bool = False
    start_at_login: bool = False


class Surroundings(Struct):
    """What the plan needs to know of the machine; `host` is the version of a running host."""

    target: Target
    service: Service
    version: str
    host: str | None


def plan(found: Installation, wishes: Wishes, around: Surroundings) -> tuple[Step, ...]:
    """List what has to be done, in order."""
    steps: list[Step] = []
    if found.copy is not Copy.CURRENT:
        steps.append(CopyPlugin(to=found.plugin_copy))
    if found.launcher.state is not LauncherState.CURRENT:
        steps.append(WriteLauncher(path=found.launcher.path, target=around.target))
    if found.marketplace is MarketplaceState.ELSEWHERE:
        steps.append(RemoveMarketplace(source=found.marketplace_source or "nowhere"))
    if found.marketplace is not MarketplaceState.ADDED:
        steps.append(AddMarketplace(source=found.plugin_copy))
    current = found.plugin is PluginState.ENABLED and found.cached is Copy.CURRENT
    if not current or found.marketplace is MarketplaceState.ELSEWHERE:
        steps.append(AddPlugin())
    if wishes.trust_hook and found.hook not in {HookTrust.TRUSTED, HookTrust.DISABLED}:
        steps.append(TrustHook(command=found.hook_command))
    login = wishes.start_at_login and not around.service.is_current
    if login:
        steps.append(StartAtLogin(service=around.service))
    if around.host != around.version and not login:
        steps.append(StartHost(instead_of=around.host))
    return tuple(steps)


async def carry_out(
    step: Step, codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> None:
    """Do one step, other than to start the host, which is the command's part.

    Raises AdapterError with what Codex said, LoginServiceFailed with what systemd said.
    """
    match step:
        case CopyPlugin():
            copy_plugin(step.to)
        case WriteLauncher():
            write_launcher(step.path, step.target)
        case RemoveMarketplace():
            run_codex(codex, ("marketplace", "remove", MARKETPLACE), codex_home, environ)
        case AddMarketplace():
            arguments = ("marketplace", "add", str(step.source))
            run_codex(codex, arguments, codex_home, environ)
        case AddPlugin():
            run_codex(codex, ("add", PLUGIN_ID), codex_home, environ)
        case TrustHook():
            await trust_hook(step.command, codex, codex_home, environ)
        case StartAtLogin():
            start_at_login(step.service, environ)
        case _:
            raise NotImplementedError(step)


def copy_plugin(to: Path) -> None:
    """Copy the plugin's files to a folder, which is exchanged as a whole.

    Codex never meets half of it; for a moment it may meet none.
    """
    make_private_folder(to.parent)
    fresh = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        for name, data in manifest_files(manifest_folder()).items():
            file = fresh / name
            make_private_folder(file.parent)
            file.write_bytes(data)
        if to.is_symlink() or to.is_file():
            to.unlink()
        elif to.exists():
            shutil.rmtree(to)
        fresh.rename(to)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


async def trust_hook(
    shown: str, codex: CodexBinary, codex_home: Path, environ: Mapping[str, str]
) -> None:
    """Write the user's trust in our hook, if it is still what the user was shown.

    Raises AdapterError where Codex lists another command, or its files are not those of this
    release: nothing is trusted then.
    """
    ours = manifest_files(manifest_folder())
    root = cached_plugin(codex_home, plugin_version(ours))
    if read_plugin(root) != plugin_files(ours):
        detail = f"{root} does not hold the files of this release, so nothing was trusted"
        raise AdapterError(ADAPTER, detail, fix="agent-relay-codex install")
    same = {shown, hook_command(ours, root.resolve())}
    async with open_settings(codex, codex_home, environ) as server:
        hooks = await server.our_hooks()
        _refuse_others(hooks, same)
        await server.trust(hooks)
        after = judge_hooks(await server.our_hooks())
    if after not in {HookTrust.TRUSTED, HookTrust.DISABLED}:
        detail = f"Codex took the trust in the hook and still lists it as {after}"
        raise AdapterError(ADAPTER, detail, fix="answer `Hooks need review` when Codex asks")


def run_codex(
    codex: CodexBinary, arguments: tuple[str, ...], codex_home: Path, environ: Mapping[str, str]
) -> None:
    """Run one of Codex's own plugin commands; AdapterError with its first line where it fails."""
    shown = " ".join(("codex", "plugin", *arguments))
    try:
        done = subprocess.run(
            [codex.path, "plugin", *arguments],
            env=codex_environ(codex, codex_home, environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CODEX_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AdapterError(ADAPTER, f"`{shown}`: {error}") from error
    if done.returncode != 0:
        raise AdapterError(ADAPTER, f"`{shown}`: {_complaint(done)}")


def _refuse_others(hooks: tuple[ListedHook, ...], same: set[str]) -> None:
    if not hooks:
        detail = "Codex lists no hook of the plugin, so nothing was trusted"
        raise AdapterError(ADAPTER, detail, fix="run `codex plugin list`, then try again")
    for hook in hooks:
        if hook.command not in same:
            detail = f"Codex would run another command, so nothing was trusted: {hook.command}"
            raise AdapterError(ADAPTER, detail, fix="answer `Hooks need review` when Codex asks")


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Take what Codex complains of out of all that it prints."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    errors = [line for line in lines if line.startswith("Error:")]
    said = errors[:1] or [line for line in lines if line and not line.startswith("WARNING:")][:1]
    return said[0].removeprefix("Error:").strip() if said else f"exit code {done.returncode}"


def name_of(step: Step) -> str:
    """The step's word for programs."""
    return str(type(step).__struct_config__.tag)
