"""The rooms are what pyproject.toml says they are."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {c["name"]: c for c in PYPROJECT["tool"]["importlinter"]["contracts"]}

PURE = {
    f"relay_core.{name}"
    for name in (
        "agents",
        "batch",
        "delivery",
        "errors",
        "fence",
        "messages",
        "plans",
        "policies",
        "retry",
        "sessions",
        "waiting",
    )
}
PURE_PROTOCOL = {f"relay_plugins.codex.{name}" for name in ("evidence", "protocol", "wire")}
PUBLIC = ("relay_core", "relay_core.testing")


def test_the_roots_of_the_contracts_are_the_packages_under_src():
    packages = {path.name for path in SRC.iterdir() if any(path.glob("*.py"))}

    assert packages == set(PYPROJECT["tool"]["importlinter"]["root_packages"])


def test_every_package_ships_in_the_wheel_and_says_that_it_is_typed():
    shipped = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert {Path(name).name for name in shipped} == {
        path.parent.name for path in SRC.glob("*/*.typed")
    }


def test_no_package_lacks_its_contract_of_layers():
    contained = {
        container
        for contract in CONTRACTS.values()
        if contract["type"] == "layers" and contract.get("exhaustive")
        for container in contract.get("containers", [])
    }

    assert set(PYPROJECT["tool"]["importlinter"]["root_packages"]) <= contained


def test_each_pure_module_that_exists_is_held_pure_by_a_contract():
    decides = CONTRACTS["What decides does no I/O, reads no clock and knows no plugin manager"]
    speaks = CONTRACTS["The Codex protocol is spoken without I/O"]

    assert set(decides["source_modules"]) == {name for name in PURE if _exists(name)}
    assert set(speaks["source_modules"]) == {name for name in PURE_PROTOCOL if _exists(name)}


def test_plugins_and_examples_import_only_the_public_names_of_the_core():
    folders = [SRC / "relay_plugins", ROOT / "examples"]
    files = [path for folder in folders for path in folder.rglob("*.py")]

    assert [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in _imported_modules(path)
        if module.split(".")[0] in ("relay_core", "relay_hub", "relay_cli")
        and not module.startswith("relay_core.testing.")
        and module not in PUBLIC
    ] == []


def test_no_plugin_reads_a_module_of_the_core_as_if_it_were_a_public_name():
    modules = {path.stem for path in (SRC / "relay_core").iterdir()} - {"testing"}
    files = [*(SRC / "relay_plugins").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]

    assert [
        f"{path.relative_to(ROOT)} imports relay_core.{name}"
        for path in files
        for name in _names_from_the_core(path)
        if name in modules
    ] == []


def _exists(module: str) -> bool:
    path = SRC / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def _imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _names_from_the_core(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "relay_core" and not node.level:
            yield from (alias.name for alias in node.names)
