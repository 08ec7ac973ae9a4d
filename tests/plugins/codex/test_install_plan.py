"""What is to be done to install and to uninstall, decided from how everything stands."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_core import Places
from relay_plugins.codex.hook_launcher import Launcher, LauncherState, Target
from relay_plugins.codex.hook_trust import ListedHook
from relay_plugins.codex.install import Surroundings, Wishes, name_of, plan
from relay_plugins.codex.installed import (
    Copy,
    Fault,
    HookTrust,
    Installation,
    MarketplaceState,
    PluginState,
    judge_hooks,
)
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.login_service import this_service
from relay_plugins.codex.throwaway import throwaway_tool
from relay_plugins.codex.uninstall import Leftovers, plan_removal

TARGET = Target(python=Path("/v/python"), folder=Path("/v/codex"), control_socket=Path("/t/s"))
LAUNCHER = Path("/h/.local/share/agent-relay/launcher")
WHOLE = Installation(
    codex_home=Path("/h/.codex"),
    plugin_copy=Path("/h/.local/share/agent-relay/codex-plugin"),
    copy=Copy.CURRENT,
    marketplace=MarketplaceState.ADDED,
    marketplace_source="/h/.local/share/agent-relay/codex-plugin",
    plugin=PluginState.ENABLED,
    cached=Copy.CURRENT,
    launcher=Launcher(path=LAUNCHER, state=LauncherState.CURRENT, target=TARGET),
    hook_command="/bin/sh relay.sh hook",
    hook=HookTrust.TRUSTED,
    hook_keys=("relay@agent-relay:hooks/hooks.json:session_start:0:0",),
)
NOTHING = Installation(
    codex_home=Path("/h/.codex"),
    plugin_copy=WHOLE.plugin_copy,
    copy=Copy.MISSING,
    marketplace=MarketplaceState.MISSING,
    marketplace_source=None,
    plugin=PluginState.MISSING,
    cached=Copy.MISSING,
    launcher=Launcher(path=LAUNCHER, state=LauncherState.MISSING),
    hook_command=WHOLE.hook_command,
)
AROUND = Surroundings(
    target=TARGET, service=this_service({"HOME": "/h"}, "linux"), version="2.0", host="2.0"
)


def changed(**fields: Any) -> Installation:
    return msgspec.structs.replace(WHOLE, **fields)


def launcher(state: LauncherState) -> Launcher:
    return Launcher(path=LAUNCHER, state=state)


def steps(found: Installation, *, host: str | None = "2.0", **wishes: bool) -> list[str]:
    around = msgspec.structs.replace(AROUND, host=host)
    return [name_of(step) for step in plan(found, Wishes(**wishes), around)]


def test_a_whole_installation_needs_nothing():
    assert steps(WHOLE, trust_hook=True) == []
    assert WHOLE.faults == ()


def test_a_first_installation_ends_with_a_running_host():
    assert steps(NOTHING, host=None) == [
        "copy_plugin",
        "write_launcher",
        "add_marketplace",
        "add_plugin",
        "start_host",
    ]
    assert NOTHING.faults == (Fault.NOT_INSTALLED,)


def test_a_host_of_another_version_hands_over():
    around = msgspec.structs.replace(AROUND, host="1.9")

    (step,) = plan(WHOLE, Wishes(), around)

    assert step.words == "start the host instead of version 1.9 (`agent-relay up --detach`)"


def test_trust_is_written_only_when_it_is_wished():
    assert "trust_hook" not in steps(changed(hook=HookTrust.UNTRUSTED))
    assert steps(changed(hook=HookTrust.UNTRUSTED), trust_hook=True) == ["trust_hook"]


def test_a_hook_that_the_user_switched_off_stays_off():
    assert steps(changed(hook=HookTrust.DISABLED), trust_hook=True) == []


def test_the_service_starts_the_host_where_it_is_wished():
    assert steps(WHOLE, host=None, start_at_login=True) == ["start_at_login"]


@pytest.mark.parametrize(
    ("found", "wanted", "fault"),
    [
        (changed(copy=Copy.MISSING), ["copy_plugin"], Fault.MARKETPLACE_VANISHED),
        (changed(copy=Copy.CHANGED), ["copy_plugin"], Fault.COPY_CHANGED),
        (
            changed(marketplace=MarketplaceState.MISSING),
            ["add_marketplace"],
            Fault.MARKETPLACE_MISSING,
        ),
        (
            changed(marketplace=MarketplaceState.ELSEWHERE, marketplace_source="/x"),
            ["remove_marketplace", "add_marketplace", "add_plugin"],
            Fault.MARKETPLACE_ELSEWHERE,
        ),
        (changed(plugin=PluginState.MISSING), ["add_plugin"], Fault.PLUGIN_MISSING),
        (changed(plugin=PluginState.DISABLED), ["add_plugin"], Fault.PLUGIN_DISABLED),
        (changed(cached=Copy.CHANGED), ["add_plugin"], Fault.PLUGIN_CHANGED),
        (changed(cached=Copy.MISSING), ["add_plugin"], Fault.PLUGIN_CHANGED),
        (changed(hook=HookTrust.MODIFIED), [], Fault.HOOK_MODIFIED),
        (changed(hook=HookTrust.UNTRUSTED), [], Fault.HOOK_UNTRUSTED),
        (changed(hook=HookTrust.UNLISTED), [], Fault.HOOK_UNLISTED),
        (changed(hook=HookTrust.DISABLED), [], Fault.HOOK_DISABLED),
        *(
            (changed(launcher=launcher(state)), ["write_launcher"], Fault(f"launcher_{state}"))
            for state in LauncherState
            if state is not LauncherState.CURRENT
        ),
    ],
)
def test_a_partial_installation_is_named_and_mended(
    found: Installation, wanted: list[str], fault: Fault
):
    assert found.faults == (fault,)
    assert steps(found) == wanted


def test_whether_codex_was_not_asked_is_no_fault():
    assert changed(hook=HookTrust.UNKNOWN).faults == ()


@pytest.mark.parametrize(
    ("hooks", "trust"),
    [
        ((), HookTrust.UNLISTED),
        ((ListedHook(key="a"), ListedHook(key="b")), HookTrust.UNLISTED),
        ((ListedHook(key="a", trust_status="trusted"),), HookTrust.TRUSTED),
        ((ListedHook(key="a", trust_status="trusted", enabled=False),), HookTrust.DISABLED),
        ((ListedHook(key="a", trust_status="modified"),), HookTrust.MODIFIED),
        ((ListedHook(key="a", trust_status="untrusted"),), HookTrust.UNTRUSTED),
        ((ListedHook(key="a", trust_status="a later word"),), HookTrust.UNTRUSTED),
    ],
)
def test_only_one_hook_that_codex_calls_trusted_is_trusted(
    hooks: tuple[ListedHook, ...], trust: HookTrust
):
    assert judge_hooks(hooks) is trust


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("0.162.9", True),
        ("0.99.0", True),
        ("0.163.0", False),
        ("0.163.0-alpha.1", False),
        ("0.200.1", False),
        ("1.0.0", False),
        ("nightly", False),
        ("", False),
    ],
)
def test_a_codex_older_than_the_plugins_needs_is_known(version: str, *, old: bool):
    assert CodexBinary(path=Path("codex"), version=version).too_old is old


@pytest.mark.parametrize(
    ("prefix", "environ", "tool"),
    [
        ("/h/.cache/uv/archive-v0/x1y2", {}, "uvx"),
        ("/h/.cache/uv/environments-v2/a", {}, "uvx"),
        ("/c/builds-v0/.tmp1", {}, "uvx"),
        ("/my/cache/x", {"UV_CACHE_DIR": "/my/cache"}, "uvx"),
        ("/h/.cache/pipx/0f1e", {}, "pipx run"),
        ("/h/Library/Caches/pipx/0f1e", {}, "pipx run"),
        ("/h/.local/pipx/.cache/0f1e", {}, "pipx run"),
        ("/p/.cache/0f1e", {"PIPX_HOME": "/p"}, "pipx run"),
        ("/h/.local/share/uv/tools/agent-relay-codex", {}, None),
        ("/h/.local/share/pipx/venvs/agent-relay-codex", {}, None),
        ("/h/project/.venv", {"UV_CACHE_DIR": "/h/.cache/uv"}, None),
    ],
)
def test_an_environment_for_one_run_is_known(
    prefix: str, environ: dict[str, str], tool: str | None
):
    assert throwaway_tool(Path(prefix), environ) == tool


def removal(
    found: Installation, tmp_path: Path, *, purge: bool, host_runs: bool = False
) -> list[str]:
    data = tmp_path / "data"
    places = Places(config=tmp_path / "config", data=data, sockets=tmp_path / "sockets")
    left = Leftovers(
        service=this_service({"HOME": str(tmp_path)}, "linux"),
        host_runs=host_runs,
        launcher_folder=data,
        places=places,
    )
    return [name_of(step) for step in plan_removal(found, left, purge=purge)]


def test_where_nothing_is_installed_nothing_is_removed(tmp_path: Path):
    assert removal(NOTHING, tmp_path, purge=False) == []
    assert removal(NOTHING, tmp_path, purge=True) == []


def test_everything_is_removed_in_the_order_in_which_codex_can_do_it(tmp_path: Path):
    assert removal(WHOLE, tmp_path, purge=False) == [
        "remove_plugin",
        "remove_marketplace",
        "forget_trust",
        "remove_cache",
        "remove_file",
    ]


def test_trust_that_an_earlier_removal_left_is_removed(tmp_path: Path):
    found = msgspec.structs.replace(NOTHING, hook_keys=("relay@agent-relay:x",))

    assert removal(found, tmp_path, purge=False) == ["forget_trust", "remove_cache"]


def test_a_purge_stops_the_host_before_it_removes_its_files(tmp_path: Path):
    for name in ("data", "config"):
        (tmp_path / name).mkdir()

    assert removal(NOTHING, tmp_path, purge=True, host_runs=True) == [
        "stop_host",
        "remove_folder",
        "remove_folder",
    ]


def test_every_step_says_what_it_does():
    said = [step.words for step in plan(NOTHING, Wishes(trust_hook=True), AROUND)]

    assert all(said)
    assert len(set(said)) == len(said)
