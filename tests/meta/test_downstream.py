"""The packages whose tests are run against a change, and the command that does it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def downstream() -> ModuleType:
    spec = importlib.util.spec_from_file_location("downstream_run", ROOT / "downstream" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_example_has_a_file_and_each_file_its_package(downstream: ModuleType):
    folders = {name: recipe.folder for name, recipe in downstream.recipes().items()}
    examples = {path.parent.name for path in (ROOT / "examples").glob("*/pyproject.toml")}

    assert folders == {name: f"examples/{name}" for name in examples}


def test_each_example_stands_in_the_table_of_the_examples(downstream: ModuleType):
    table = (ROOT / "examples" / "README.md").read_text()

    assert [
        name for name in downstream.recipes() if f"| [{name}]({name}/README.md) |" not in table
    ] == []


def test_a_key_that_is_unknown_is_named(downstream: ModuleType, tmp_path: Path):
    (tmp_path / "x.toml").write_text('test = ["true"]\nfodler = "x"\n')

    with pytest.raises(TypeError, match="fodler"):
        downstream.recipes(tmp_path)


def test_a_package_elsewhere_is_cloned_at_its_ref(downstream: ModuleType, tmp_path: Path):
    repository = tmp_path / "elsewhere"
    (repository / "plugin").mkdir(parents=True)
    (repository / "plugin" / "pyproject.toml").write_text("old")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*identity, "commit", "-qm", "x"],
        ["tag", "v1"],
        ["rm", "-q", "plugin/pyproject.toml"],
        [*identity, "commit", "-qm", "y"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True, capture_output=True)
    recipe = downstream.Recipe(
        name="x", test=("true",), folder="plugin", repository=repository.as_uri(), ref="v1"
    )

    assert (downstream.fetch(recipe, tmp_path) / "pyproject.toml").read_text() == "old"


def test_it_goes_on_after_a_failure_and_ends_with_it(
    downstream: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def run(recipe: object, relay: str) -> None:
        if getattr(recipe, "name", "") == "redaction":
            raise downstream.Failed("pytest ended with 1")

    monkeypatch.setattr(downstream, "run", run)

    assert downstream.main(["redaction", "translator"]) == 1
    assert downstream.main(["translator"]) == 0
    printed = capsys.readouterr().out
    assert "redaction: FAILED: pytest ended with 1\ntranslator: passed\n" in printed


def test_a_name_that_is_unknown_is_refused_with_those_that_are_there(
    downstream: ModuleType, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        downstream.main(["translatr"])

    assert ended.value.code == 2
    assert "there is no translatr; there are chat-forwarder, " in capsys.readouterr().err
