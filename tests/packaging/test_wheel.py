"""What the wheel carries, and that it works where there is nothing else."""

import json
import tomllib
import zipfile
from pathlib import Path

import pytest

from empty_venv import EmptyVenv
from relay_plugins.codex.manifest import digest, manifest_files

ROOT = Path(__file__).parents[2]
PACKAGES = {"relay_core", "relay_plugins", "relay_hub", "relay_cli"}


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_four_packages_and_nothing_else(names: set[str]):
    roots = {name.split("/")[0] for name in names}

    assert {root for root in roots if not root.endswith(".dist-info")} == PACKAGES


def test_each_package_says_that_it_is_typed(names: set[str]):
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_every_file_under_src_is_in_the_wheel(names: set[str]):
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert source - names == set()


def test_what_codex_reads_is_in_the_wheel(names: set[str]):
    manifest = {
        str(
            Path("relay_plugins/codex/plugin_manifest") / path.relative_to(ROOT / "plugin_manifest")
        )
        for path in (ROOT / "plugin_manifest").rglob("*")
        if path.is_file()
    }

    assert manifest
    assert manifest - names == set()


def test_the_installed_package_finds_what_codex_reads(installed: EmptyVenv):
    code = (
        "from relay_plugins.codex.manifest import digest, manifest_files, manifest_folder\n"
        "print(digest(manifest_files(manifest_folder())))\n"
    )

    assert installed.run("python", "-I", "-c", code).strip() == digest(
        manifest_files(ROOT / "plugin_manifest")
    )


def test_every_entry_point_loads(installed: EmptyVenv):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    code = (
        "import json\n"
        "from importlib.metadata import entry_points\n"
        "points = entry_points(group='agent_relay')\n"
        "print(json.dumps({point.name: point.load().__name__ for point in points}))\n"
    )

    loaded = json.loads(installed.run("python", "-I", "-c", code))

    assert loaded == project["entry-points"]["agent_relay"]


@pytest.mark.parametrize("command", ["agent-relay", "agent-relay-codex"])
def test_each_command_tells_its_version(installed: EmptyVenv, command: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["version"] in installed.run(command, "--version")


def test_the_installed_files_agree_with_each_other(installed: EmptyVenv):
    installed.run("python", "-m", "pip", "check")
