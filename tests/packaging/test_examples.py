"""The example plugins, installed as a user would, beside nothing but our wheel."""

import json
import os
import shutil
from pathlib import Path

import pytest

from empty_venv import EmptyVenv

ROOT = Path(__file__).parents[2]
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
def with_examples(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> EmptyVenv:
    """Our wheel, the examples, and pytest for their own tests."""
    environment = EmptyVenv(tmp_path_factory.mktemp("examples"))
    for name in EXAMPLES:  # copies: building leaves files behind
        shutil.copytree(
            ROOT / "examples" / name,
            environment.folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "build", "dist", "*.egg-info"),
        )
    environment.install(wheel, "pytest", *(environment.folder / name for name in EXAMPLES))
    return environment


def settings(text: str) -> None:
    folder = Path(os.environ["AGENT_RELAY_HOME"]) / "config"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)


def test_there_are_two_examples():
    assert EXAMPLES == ["plain-prompt", "prefer-patience"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes_its_own_tests(with_examples: EmptyVenv, name: str):
    folder = with_examples.folder / name

    printed = with_examples.run(
        "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder
    )

    assert "passed" in printed


def test_both_are_listed_with_their_distribution_and_their_hooks(with_examples: EmptyVenv):
    listed = json.loads(with_examples.run("agent-relay", "plugins", "--json"))["plugins"]
    found = {each["name"]: each for each in listed}

    assert found["plain-prompt"] | {"reason": None} == {
        "name": "plain-prompt",
        "distribution": "relay-plain-prompt",
        "version": "1.0.0",
        "state": "loaded",
        "reason": None,
        "hooks": ["format_prompt"],
    }
    assert found["prefer-patience"]["state"] == "loaded"
    assert found["prefer-patience"]["hooks"] == ["choose_delivery"]


def asked(environment: EmptyVenv, *blocked: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(
        environment.run("python", "-I", "-c", ASK, json.dumps(blocked))
    )
    return answer


def test_one_changes_the_prompt_and_the_other_the_plan(with_examples: EmptyVenv):
    changed = asked(with_examples)
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
