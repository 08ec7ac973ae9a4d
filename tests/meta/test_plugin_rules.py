"""What holds for all built-in plugins and for the names that a plugin author may rely on."""

import ast
import inspect
import tomllib
from pathlib import Path

import pytest

import relay_core

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "relay_core"
PLUGINS = ROOT / "src" / "relay_plugins"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]["agent_relay"]

KNOW_PLUGGY = {"chains", "discovery", "hooks", "hookspecs"}
MAY_IMPORT = {"__future__", "collections", "itertools", "re", "relay_core"}


def test_each_built_in_plugin_is_found_by_the_name_of_its_module():
    modules = {path.stem for path in PLUGINS.iterdir() if path.stem != "__init__"}
    modules -= {"__pycache__", "py"}

    assert {f"relay.{name}": f"relay_plugins.{name}" for name in modules} == ENTRY_POINTS


def test_the_distribution_that_counts_as_built_in_is_ours():
    from relay_core.discovery import DISTRIBUTION, GROUP

    assert PROJECT["name"] == DISTRIBUTION
    assert GROUP in PROJECT["entry-points"]


def test_only_the_face_of_the_hooks_and_what_stands_behind_it_know_pluggy():
    knowing = {
        path.stem for path in CORE.rglob("*.py") if "pluggy" in _roots(path) and path.parent == CORE
    }

    assert knowing == KNOW_PLUGGY


@pytest.mark.parametrize("name", ["channels", "claims", "delivery", "prompt"])
def test_a_plugin_that_decides_can_do_nothing_else(name: str):
    assert _roots(PLUGINS / f"{name}.py") - MAY_IMPORT == set()


def test_the_public_names_are_there_once_and_documented():
    names = relay_core.__all__

    assert len(names) == len(set(names))
    documented = [getattr(relay_core, name) for name in names]
    assert [
        each
        for each in documented
        if (inspect.isclass(each) or inspect.isfunction(each)) and not each.__doc__
    ] == []


def _roots(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found
