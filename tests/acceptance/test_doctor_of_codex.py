"""Faults of Codex and of the plugin in it, found; what is printed for them mends them."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from patient import Patient, codes
from relay_core.places import find_places
from relay_plugins.codex.hook_launcher import launcher_file, this_target, write_launcher
from relay_plugins.codex.launcher import CodexBinary, find_codex
from relay_plugins.codex.testing.terminal import run_on_terminal
from user_commands import PROGRAMS, Relay


@pytest.fixture
def patient(relay: Relay) -> Patient:
    return Patient(relay)


# --- Codex itself ----------------------------------------------------------------------------


def test_a_codex_that_is_too_old_is_to_be_updated(patient: Patient):
    patient.has_codex("echo codex-cli 0.162.9")

    finding = patient.finding("codex-too-old")
    assert "0.162.9" in finding["detail"]
    assert "0.163" in finding["advice"]
    patient.has_codex("echo codex-cli 0.163.0")

    assert "codex-too-old" not in codes(patient.looked())


def test_a_codex_that_nobody_tested_is_a_note(patient: Patient):
    patient.has_codex("echo codex-cli 0.999.0-alpha.1")

    assert patient.finding("codex-untested")["severity"] == "note"


@pytest.mark.parametrize("script", ["exit 3", "echo", "echo codex-cli soon"])
def test_a_codex_that_does_not_tell_its_version_is_to_be_installed_again(
    patient: Patient, script: str
):
    patient.has_codex(script)

    assert "install Codex" in patient.finding("codex-broken")["advice"]
    patient.has_codex("echo codex-cli 0.169.0")

    assert "codex-broken" not in codes(patient.looked())


def test_where_there_is_no_codex_one_is_to_be_installed(patient: Patient):
    hidden = patient.relay.home / "hidden" / "codex_cli_bin"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('not here')\n")
    patient.environ["PYTHONPATH"] = str(hidden.parent)
    (patient.relay.home / "bin" / "codex").unlink()

    assert "on PATH" in patient.finding("codex-missing", apart=True)["advice"]
    patient.has_codex("echo codex-cli 0.163.0")

    assert "codex-missing" not in codes(patient.looked(apart=True))


def test_the_codex_that_config_toml_names_comes_before_the_one_on_path(patient: Patient):
    patient.has_codex("echo codex-cli 0.163.0")
    mine = patient.has_codex("echo codex-cli 0.150.0").rename(patient.relay.home / "mine")
    patient.has_codex("echo codex-cli 0.163.0")
    patient.config('[codex]\nbin = "~/no-codex"\n')
    assert "bin of [codex]" in patient.finding("codex-bin-wrong")["advice"]
    patient.config(f'[codex]\nbin = "{mine}"\n')

    assert str(mine) in patient.finding("codex-too-old")["detail"]
    shown = patient.relay("config", "codex.bin", "--json").worked().json["config"][0]
    assert (shown["value"], shown["origin"]) == (str(mine), f"{patient.relay.config}:4")
    patient.environ["AGENT_RELAY_CODEX_BIN"] = str(patient.relay.home / "bin" / "codex")
    assert "codex-too-old" not in codes(patient.looked())


def test_a_mistake_in_the_table_of_codex_is_named(patient: Patient):
    patient.config("[codex]\ndiscver = true\n")

    assert f"line 4 of {patient.relay.config}" in patient.finding("config-broken")["advice"]
    patient.config("[codex]\ndiscover = true\n")

    assert "config-broken" not in codes(patient.looked())


def test_codex_is_asked_in_a_home_that_is_not_the_users(patient: Patient):
    patient.has_codex('touch "$HOME/seen" "$CODEX_HOME/seen"; echo codex-cli 0.163.0')
    patient.environ["CODEX_HOME"] = str(patient.relay.home / "codex")

    patient.looked()

    assert list(patient.relay.home.rglob("seen")) == []


def test_a_broken_config_file_of_codex_is_named(patient: Patient):
    file = patient.relay.home / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text("model = \n")

    assert str(file) in patient.finding("codex-config-broken")["advice"]
    file.write_text("model = 'x'\n")

    assert "codex-config-broken" not in codes(patient.looked())


# --- the plugin in a real Codex --------------------------------------------------------------


class Installed(Patient):
    """A user who has installed the plugin into a real Codex."""

    def install(self, *options: str) -> None:
        self.relay.codex("install", "--yes", *options).worked()

    @property
    def codex_config(self) -> Path:
        return self.relay.home / ".codex" / "config.toml"

    @property
    def launcher(self) -> Path:
        return launcher_file(self.relay.environ)

    def edit(self, file: Path, pattern: str, by: str) -> None:
        text, count = re.subn(pattern, by, file.read_text(), flags=re.MULTILINE)
        assert count, file.read_text()
        file.write_text(text)

    def lead_launcher_to(self, python: Path) -> None:
        places = find_places(self.relay.environ, os.getuid())
        here = this_target(self.relay.environ, places)
        write_launcher(self.launcher, type(here)(python, here.folder, here.control_socket))

    def finds(self, *expected: str) -> dict[str, dict[str, Any]]:
        """Look once, and check that exactly these are found besides notes on the version."""
        found = {one["code"]: one for one in self.looked()["findings"]}
        found.pop("codex-untested", None)
        assert set(found) == set(expected), found
        return found


@pytest.fixture
def installed(relay: Relay, codex_binary: CodexBinary) -> Installed:
    user = Installed(relay)
    relay.in_process = True  # no loop runs here
    relay.environ["AGENT_RELAY_CODEX_BIN"] = str(codex_binary.path)
    (relay.home / ".codex").mkdir()
    user.install()
    return user


def test_a_hook_that_is_not_trusted_is_trusted_by_the_users_word_alone(installed: Installed):
    found = installed.finds("hooks-untrusted")["hooks-untrusted"]
    assert "relay.sh" in found["detail"]
    assert not found["safe"]
    assert codes(installed.looked("--fix")) >= {"hooks-untrusted"}
    assert not installed.codes_after(found["command"]) - {"codex-untested"}

    before = {each: each.stat().st_mtime_ns for each in installed.codex_config.parent.rglob("*")}
    assert not codes(installed.looked()) - {"codex-untested"}
    after = {each: each.stat().st_mtime_ns for each in installed.codex_config.parent.rglob("*")}
    assert after == before

    installed.edit(
        installed.codex_config, r'^trusted_hash = "sha256:..', 'trusted_hash = "sha256:00'
    )
    found = installed.finds("hooks-modified")["hooks-modified"]
    assert not installed.codes_after(found["command"]) - {"codex-untested"}


@pytest.fixture
def bundled(relay: Relay) -> Installed:
    """The same with whichever Codex comes first: what is tried here, is the same for each."""
    codex = find_codex({**os.environ, "CODEX_HOME": str(relay.home)})
    user = Installed(relay)
    relay.in_process = True  # no loop runs here
    relay.environ["AGENT_RELAY_CODEX_BIN"] = str(codex.path)
    (relay.home / ".codex").mkdir()
    return user


@pytest.mark.codex
def test_an_installation_is_mended_by_installing_again(bundled: Installed):
    assert codes(bundled.looked()) == {"plugin-not-installed", "host-missing"}
    _type_on_a_terminal("agent-relay-codex install", bundled)
    bundled.finds("hooks-untrusted")
    bundled.install("--trust-hooks")
    bundled.finds()

    copy = bundled.relay.data / "codex-plugin"
    bundled.lead_launcher_to(bundled.relay.home / "gone" / "bin" / "python")
    (next(copy.rglob("SKILL.md"))).write_text("changed")
    found = bundled.finds("launcher-dead", "plugin-incomplete")
    assert found["launcher-dead"]["command"] == found["plugin-incomplete"]["command"]
    assert not bundled.codes_after(found["launcher-dead"]["command"])

    bundled.launcher.write_text("#!/bin/sh\nexit 1\n")
    shutil.rmtree(copy)
    found = bundled.finds("launcher-damaged", "marketplace-vanished")
    assert not bundled.codes_after(found["marketplace-vanished"]["command"])

    elsewhere = bundled.relay.home / "python"
    elsewhere.symlink_to(sys.executable)
    bundled.lead_launcher_to(elsewhere)
    bundled.edit(bundled.codex_config, r"^enabled = true", "enabled = false")
    found = bundled.finds("launcher-elsewhere", "plugin-disabled")
    assert found["launcher-elsewhere"]["severity"] == "note"
    assert not bundled.codes_after(found["plugin-disabled"]["command"])

    state = bundled.codex_config.read_text()
    bundled.edit(bundled.codex_config, r"^(trusted_hash = .*)", r"\1\nenabled = false")
    assert "/hooks" in bundled.finds("hooks-disabled")["hooks-disabled"]["advice"]
    bundled.codex_config.write_text(state)
    bundled.finds()


@pytest.mark.codex
def test_a_launcher_is_mended_by_fix(bundled: Installed):
    bundled.install("--trust-hooks")
    whole = bundled.launcher.read_bytes()
    bundled.launcher.unlink()
    bundled.finds("launcher-missing")

    report = bundled.looked("--fix")

    assert [one["code"] for one in report["mended"]] == ["launcher-missing"]
    assert bundled.launcher.read_bytes() == whole
    bundled.lead_launcher_to(bundled.relay.home / "gone" / "python")
    assert [one["failed"] for one in bundled.looked("--fix")["mended"]] == [None]
    assert bundled.launcher.read_bytes() == whole
    bundled.launcher.chmod(0o755)
    assert [one["code"] for one in bundled.looked("--fix")["mended"]] == ["launcher-damaged"]
    bundled.finds()


def _type_on_a_terminal(command: str, user: Patient) -> None:
    """Type a command that asks, and say yes to the first question alone."""
    program, *arguments = command.split()
    status, said = run_on_terminal(
        [PROGRAMS / program, *arguments],
        environ={**user.relay.environ, "TERM": "dumb"},
        cwd=user.relay.home,
        answers="ynn",
    )
    assert status == 0, said
