"""How an installation stands, read from files."""

import shutil
from pathlib import Path

import pytest

from relay_core import SettingsError, find_places
from relay_plugins.codex.codex_config import CodexConfig, read_codex_config
from relay_plugins.codex.hook_launcher import LauncherState
from relay_plugins.codex.install import copy_plugin
from relay_plugins.codex.installed import (
    Copy,
    Fault,
    Installation,
    MarketplaceState,
    PluginState,
    is_installed,
    look,
)
from relay_plugins.codex.manifest import PLUGIN_FOLDER, cached_plugin, manifest_folder

KEY = "relay@agent-relay:hooks/hooks.json:session_start:0:0"


class Machine:
    """A home in which Codex's part of an installation is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.environ = {"HOME": str(folder)}
        self.codex_home = folder / ".codex"
        self.codex_home.mkdir()
        self.copy = folder / ".local" / "share" / "agent-relay" / "codex-plugin"

    def config(self, text: str) -> None:
        (self.codex_home / "config.toml").write_text(text)

    def look(self) -> Installation:
        return look(self.environ, find_places(self.environ, 1), self.codex_home)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_empty_home_has_nothing(machine: Machine):
    found = machine.look()

    assert found.faults == (Fault.NOT_INSTALLED,)
    assert not is_installed(machine.environ)


def test_what_codex_wrote_is_found(machine: Machine):
    copy_plugin(machine.copy)
    cached = cached_plugin(machine.codex_home, "1.1.0")
    machine.config(
        f'[marketplaces.agent-relay]\nsource_type = "local"\nsource = "{machine.copy}"\n'
        '[plugins."relay@agent-relay"]\nenabled = true\n'
        f'[hooks.state."{KEY}"]\ntrusted_hash = "sha256:1"\n'
        '[hooks.state."other@x:y"]\nenabled = false\n'
    )
    without_cache = machine.look()
    shutil.copytree(manifest_folder() / PLUGIN_FOLDER, cached)

    found = machine.look()

    assert is_installed(machine.environ)
    assert without_cache.cached is Copy.MISSING
    assert (found.copy, found.cached) == (Copy.CURRENT, Copy.CURRENT)
    assert found.marketplace is MarketplaceState.ADDED
    assert found.plugin is PluginState.ENABLED
    assert found.hook_keys == (KEY,)
    assert found.other_hook_states
    assert found.launcher.state is LauncherState.MISSING
    assert found.hook_command == f'/bin/sh "{cached}/relay.sh" hook'


def test_a_changed_byte_in_codexs_copy_is_seen(machine: Machine):
    cached = cached_plugin(machine.codex_home, "1.1.0")
    shutil.copytree(manifest_folder() / PLUGIN_FOLDER, cached)
    (cached / "relay.sh").write_text("#!/bin/sh\n")

    assert machine.look().cached is Copy.CHANGED


def test_a_copy_of_another_version_is_no_current_one(machine: Machine):
    shutil.copytree(manifest_folder() / PLUGIN_FOLDER, cached_plugin(machine.codex_home, "0.9.0"))

    assert machine.look().cached is Copy.CHANGED


@pytest.mark.parametrize("text", ["[", "marketplaces = 3", '[hooks.state]\na = "b"'])
def test_a_file_that_codex_could_not_read_is_named(machine: Machine, text: str):
    machine.config(text)

    with pytest.raises(SettingsError, match=r"config\.toml"):
        machine.look()


def test_what_is_not_ours_in_codexs_settings_is_left_alone(machine: Machine):
    machine.config('model = "m"\n[hooks]\nSessionStart = [{ hooks = [] }]\n[tui]\nx = 1\n')

    assert read_codex_config(machine.codex_home) == CodexConfig()


def test_copying_again_replaces_the_folder_as_a_whole(machine: Machine):
    copy_plugin(machine.copy)
    (machine.copy / "plugins" / "stray").write_text("x")

    copy_plugin(machine.copy)

    assert machine.look().copy is Copy.CURRENT
    assert [path.name for path in machine.copy.parent.iterdir()] == ["codex-plugin"]
