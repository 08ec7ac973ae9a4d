"""`agent-relay plugins new`, and what it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from new_plugins import as_installed
from relay_cli.plugin_projects import LONGEST_NAME, Kind
from user_commands import Relay, Typed

KINDS = [kind.value for kind in Kind]


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a program as whoever develops the plugin would."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A project of each kind."""
    user = Relay(tmp_path_factory.mktemp("new"), in_process=True)
    for kind in KINDS:
        user("plugins", "new", f"my-{kind}", "--kind", kind).worked()
    return [user.home / f"my-{kind}" for kind in KINDS]


def test_what_it_writes_passes_its_own_tests(projects: list[Path], tmp_path: Path):
    path = as_installed(projects, tmp_path / "info")

    printed = run(
        "pytest", "-q", "-p", "no:cacheprovider", *projects,
        cwd=tmp_path, PYTHONPATH=path,
    )  # fmt: skip

    assert "passed" in printed


def test_what_it_writes_is_typed_strictly(projects: list[Path], tmp_path: Path):
    pytest.importorskip("mypy", reason="mypy comes with the dependency group lint")
    modules = [path for each in projects for path in sorted(each.rglob("*.py"))]

    run("mypy", "--strict", *modules, cwd=tmp_path)


def test_what_it_writes_is_in_the_form_that_its_own_settings_ask_for_whatever_its_name(
    projects: list[Path], relay: Relay
):
    pytest.importorskip("ruff", reason="ruff comes with the dependency group lint")
    for kind in KINDS:
        name = (kind * LONGEST_NAME)[:LONGEST_NAME]
        relay("plugins", "new", name, "--kind", kind).worked()
        relay("plugins", "new", kind[0], "--kind", kind).worked()

    for command in (("check",), ("format", "--check")):
        run("ruff", *command, "--no-cache", *projects, relay.home, cwd=relay.home)


def test_it_says_what_it_wrote_and_what_to_type_next(relay: Relay):
    printed = relay("plugins", "new", "hello").worked().out

    assert printed.startswith("hello holds a plugin")
    assert "  src/relay_hello/__init__.py\n" in printed
    assert printed.endswith("pytest\n")
    assert (relay.home / "hello" / ".gitignore").exists()


def test_its_object_has_the_files_and_the_commands_to_follow(relay: Relay):
    relay.environ["PATH"] = f"{Path(sys.executable).parent}:{relay.environ['PATH']}"

    new = relay("plugins", "new", "hello", "--kind", "filter", "--into", "a b", "--json").json

    assert {key: new[key] for key in ("name", "kind", "folder", "distribution", "package")} == {
        "name": "hello",
        "kind": "filter",
        "folder": str(relay.home / "a b"),
        "distribution": "relay-hello",
        "package": "relay_hello",
    }
    assert all((relay.home / "a b" / path).is_file() for path in new["files"])
    assert new["next"] == ["cd 'a b'", "python -m pip install -e '.[test]'", "pytest"]


def test_where_python_is_another_one_the_commands_name_the_relays_own(relay: Relay):
    relay.environ["PATH"] = str(relay.home)

    new = relay("plugins", "new", "hello", "--json").json

    assert new["next"][1:] == [
        f"{sys.executable} -m pip install -e '.[test]'",
        f"{sys.executable} -m pytest",
    ]


@pytest.mark.parametrize(
    "name", ["", "Hello", "he llo", "-hello", "hello-", "he--llo", "a_b", "../x", "é", "a" * 25]
)
def test_a_name_that_cannot_be_one_is_refused(typed: Typed, name: str):
    line = typed("plugins", "new", "--", name).failed(2)

    assert "cannot be a plugin's name — use up to 24 of a-z and 0-9" in line


def test_a_name_of_the_built_in_plugins_is_refused(typed: Typed):
    line = typed("plugins", "new", "relay.hello").failed(2)

    assert "begin with relay." in line


@pytest.mark.parametrize("name", ["core", "hub"])
def test_a_name_whose_package_is_there_already_is_refused(typed: Typed, name: str):
    line = typed("plugins", "new", name).failed(1)

    assert f"a package relay_{name} is installed already — use another name" in line


def test_a_name_that_an_installed_plugin_has_is_refused(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    relay("plugins", "new", "hello").worked()
    for entry in as_installed([relay.home / "hello"], tmp_path / "info").split(":"):
        monkeypatch.syspath_prepend(entry)

    line = relay("plugins", "new", "hello", "--into", "elsewhere").failed(1)

    assert "a plugin hello is installed already, by relay-hello 0.1.0" in line
    assert not (relay.home / "elsewhere").exists()


def test_a_folder_that_holds_something_is_left_alone(relay: Relay):
    (relay.home / "hello").mkdir()
    (relay.home / "hello" / "notes").write_text("mine")

    line = relay("plugins", "new", "hello").failed(1)

    assert "hello is there and not empty — use --into FOLDER" in line
    assert [path.name for path in (relay.home / "hello").iterdir()] == ["notes"]


def test_an_empty_folder_is_taken(relay: Relay):
    (relay.home / "empty").mkdir()

    relay("plugins", "new", "hello", "--into", "empty").worked()

    assert (relay.home / "empty" / "pyproject.toml").exists()


def test_a_file_in_the_folders_place_is_refused(relay: Relay):
    (relay.home / "hello").write_text("mine")

    line = relay("plugins", "new", "hello").failed(1)

    assert "hello cannot be used: Not a directory" in line
