"""The example plugins, installed as a user would, beside nothing but our wheel."""

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from empty_venv import EmptyVenv, build, call

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".pytest_cache", "build", "dist", "*.egg-info")
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/pyproject.toml"))

ASK = """
import asyncio, json, sys
from relay_core import *
from relay_core.discovery import discover, installed
from relay_core.hooks import Hooks

BLOCK = json.loads(sys.argv[1])
SESSION = Session(id=AgentId("codex-shop-1"), adapter="memory", thread_id="t", now=0,
                  activity=Activity.AT_REST)
MAIL = [Message(id=MessageId(number), from_=AgentId("a"), to="x", body="b", created_at=0,
                sender=Sender(id=AgentId("a"))) for number in range(1, 6)]

async def main():
    hooks = Hooks(discover(installed(), block=BLOCK, strict=True).manager)
    plan, why_plan = await hooks.choose_delivery(MAIL, SESSION)
    prompt, why_prompt = await hooks.format_prompt(MAIL, SESSION, plan)
    print(json.dumps({
        "take": plan.take,
        "plan": [each.plugin for each in why_plan if each.chosen],
        "header": prompt.header,
        "prompt": [each.plugin for each in why_prompt if each.chosen],
    }))

asyncio.run(main())
"""

LIST = """
import contextlib, io, sys
from relay_cli.main import main

sys.argv = ["agent-relay", "plugins", "--json"]
printed = io.StringIO()
with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
    main()
print(printed.getvalue().strip())
print("relay_plain_prompt" in sys.modules, "relay_prefer_patience" in sys.modules)
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each example, built from a copy, because building leaves files behind."""
    folder = tmp_path_factory.mktemp("examples")
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, folder / name, ignore=LEFT_BEHIND)
    built = build(*(folder / name for name in EXAMPLES), into=folder)
    return dict(zip(EXAMPLES, built, strict=True))


@pytest.fixture(scope="session")
def with_examples(
    with_pytest: EmptyVenv, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> EmptyVenv:
    """Our wheel and all of the examples."""
    environment = EmptyVenv(tmp_path_factory.mktemp("together"), on=with_pytest)
    environment.install(*wheels.values())
    return environment


def settings(text: str) -> None:
    folder = Path(os.environ["AGENT_RELAY_HOME"]) / "config"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_alone_passes_its_own_tests(
    with_pytest: EmptyVenv, wheels: dict[str, Path], tmp_path: Path, name: str
):
    alone = EmptyVenv(tmp_path, on=with_pytest)
    alone.install(wheels[name])
    example = ROOT / "examples" / name
    shutil.copytree(example / "tests", tmp_path / "tests", ignore=LEFT_BEHIND)
    shutil.copy(example / "pyproject.toml", tmp_path)  # not its source: the wheel is tested

    printed = alone.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)

    assert "passed" in printed


def test_downstream_tests_an_example_in_an_environment_of_its_own(wheel: Path, tmp_path: Path):
    script = ROOT / "downstream" / "run.py"

    printed = call(sys.executable, script, "plain-prompt", "--relay", wheel, cwd=tmp_path)

    assert printed.endswith("plain-prompt: passed\n")


def test_all_are_listed_with_their_distribution_and_their_hooks(with_examples: EmptyVenv):
    listed = json.loads(with_examples.run("python", "-m", "relay_cli", "plugins", "--json"))
    found = {each["name"]: each for each in listed["plugins"]}

    assert found["plain-prompt"] | {"reason": None} == {
        "name": "plain-prompt",
        "distribution": "relay-plain-prompt",
        "version": "1.0.0",
        "state": "loaded",
        "reason": None,
        "notes": [],
        "place": found["plain-prompt"]["place"],
        "hooks": ["format_prompt"],
    }
    assert {name: found[name]["state"] for name in EXAMPLES} == dict.fromkeys(EXAMPLES, "loaded")
    assert found["first-responder"]["hooks"] == ["start", "on_message", "on_claim"]


def test_each_of_them_fits(with_examples: EmptyVenv):
    for name in EXAMPLES:
        printed = with_examples.run("python", "-m", "relay_cli", "plugins", "check", name, "--json")

        assert json.loads(printed)["ok"], printed


def test_the_examples_and_the_relay_agree_on_what_they_need(with_examples: EmptyVenv):
    with_examples.pip("check")


def test_each_example_says_that_it_is_typed(wheels: dict[str, Path]):
    assert [
        name
        for name, wheel in wheels.items()
        if not any(each.endswith("/py.typed") for each in zipfile.ZipFile(wheel).namelist())
    ] == []


def asked(environment: EmptyVenv, *blocked: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(
        environment.run("python", "-I", "-c", ASK, json.dumps(blocked))
    )
    return answer


def test_one_changes_the_prompt_and_the_other_the_plan(with_examples: EmptyVenv):
    others = set(EXAMPLES) - {"plain-prompt", "prefer-patience"}
    changed = asked(with_examples, *others)
    usual = asked(with_examples, *EXAMPLES)

    assert (changed["plan"], changed["take"]) == (["prefer-patience"], 3)
    assert changed["prompt"] == ["plain-prompt"]
    assert changed["header"] == "Mail from other agents:"
    assert (usual["plan"], usual["take"]) == (["relay.delivery"], None)
    assert usual["prompt"] == ["relay.prompt"]
    assert usual["header"] != changed["header"]


@pytest.mark.parametrize("name", ["plain-prompt", "relay-plain-prompt", "Relay_Plain.Prompt"])
def test_block_keeps_one_from_being_imported_and_leaves_the_other(
    with_examples: EmptyVenv, name: str
):
    settings(f'[plugins]\nblock = ["{name}"]\n')
    listed, imported = with_examples.run("python", "-c", LIST).splitlines()

    states = {each["name"]: each["state"] for each in json.loads(listed)["plugins"]}
    assert (states["plain-prompt"], states["prefer-patience"]) == ("blocked", "loaded")
    assert imported == "False True"


def test_only_imports_nothing_else(with_examples: EmptyVenv):
    settings('[plugins]\nonly = ["agent-relay-codex", "plain-prompt"]\n')
    listed, imported = with_examples.run("python", "-c", LIST).splitlines()

    states = {each["name"]: each["state"] for each in json.loads(listed)["plugins"]}
    assert states["prefer-patience"] == "blocked"
    assert states["relay.prompt"] == states["plain-prompt"] == "loaded"
    assert imported == "True False"
