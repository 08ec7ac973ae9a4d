"""`agent-relay plugins check`, as it is typed."""

import sys
from pathlib import Path

import pytest

from user_commands import Typed

OBSTINATE = """
from relay_core import hookimpl

@hookimpl
def on_message(message, session):
    return "hold"
"""

ADAPTING = """
from relay_core import hookimpl
from relay_core.testing import MemoryAgent
from relay_core.testing.memory_driver import Brisk, MemoryAdapter, MemoryDriver

class Adapter(MemoryAdapter):
    def __init__(self, agent):
        super().__init__(agent)
        self.name = "{name}"

@hookimpl
def register_adapters(register):
    register.adapter(Adapter(MemoryAgent(register.clock, None)))
"""

DRIVING = """
from contextlib import asynccontextmanager
from adapting import Adapter
from relay_core import AdapterError
from relay_core.clock import SystemClock, SystemRandom
from relay_core.testing.memory_driver import MemoryDriver

class Forgetful(Adapter):
    def describe(self, key):
        raise AdapterError(self.name, "forgotten")

class Driver(MemoryDriver):
    name = "adapting"

@asynccontextmanager
async def open_driver(folder, options):
    driver = Driver(SystemClock(), SystemRandom(), Forgetful)
    yield driver
    await driver.memory.close()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package with these entry points where this Python finds it."""
    folder = tmp_path / "packages"
    monkeypatch.syspath_prepend(folder)

    def put(distribution: str, entry_points: str, **modules: str) -> None:
        info = folder / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0")
        (info / "entry_points.txt").write_text(entry_points)
        for name, code in modules.items():
            (folder / f"{name}.py").write_text(code)
            monkeypatch.delitem(sys.modules, name, raising=False)

    return put


def test_a_plugin_that_fits_ends_with_0_and_says_what_was_asked(typed: Typed):
    done = typed("plugins", "check", "relay.prompt").worked()

    assert "format_prompt answers with what it may" in done.out
    assert done.out.rstrip().endswith("nothing failed")


def test_a_plugin_that_does_not_fit_ends_with_1_and_is_told_why(typed: Typed, install):
    install("obstinate-dist", "[agent_relay]\nobstinate = obstinate\n", obstinate=OBSTINATE)

    done = typed("plugins", "check", "obstinate", "--json")

    assert done.code == 1
    assert not done.json["ok"]
    checks = {each["name"]: each for each in done.json["plugin"]["checks"]}
    assert checks["loads"]["verdict"] == "ok"
    assert checks["on_message"]["verdict"] == "failed"
    assert "must be Verdict or None, not str" in checks["on_message"]["detail"]


def test_an_adapter_without_a_driver_is_named_as_not_measured(typed: Typed, install):
    code = ADAPTING.replace("{name}", "lonely")
    install("lonely-dist", "[agent_relay]\nlonely = lonely\n", lonely=code)

    done = typed("plugins", "check", "lonely").worked()

    assert "adapter lonely: no driver of this adapter is installed" in done.out


def test_an_adapter_that_fails_the_kit_ends_with_1(typed: Typed, install):
    install(
        "adapting-dist",
        "[agent_relay]\nadapting = adapting\n"
        "[agent_relay_drivers]\nadapting = driving:open_driver\n",
        adapting=ADAPTING.replace("{name}", "adapting"),
        driving=DRIVING,
    )

    done = typed("plugins", "check", "adapting")

    assert done.code == 1
    assert "adapting: forgotten" in done.out
    assert done.out.rstrip().endswith("failed")


def test_what_is_measured_of_an_adapter_can_be_put_on_a_page(typed: Typed):
    done = typed("plugins", "check", "echo", "--markdown").worked()

    lines = done.out.splitlines()
    assert lines[:3] == [
        "| capability | claimed | measured | |",
        "| --- | --- | --- | --- |",
        "| wake | yes | yes | |",
    ]
    assert "| A message to a session at rest begins a turn. | ok | |" in lines


def test_a_name_that_is_unknown_is_answered_with_those_that_are_known(typed: Typed):
    line = typed("plugins", "check", "nobody").failed(2)

    assert "no plugin or adapter is called nobody" in line
    for known in ("codex", "echo", "relay.prompt"):
        assert known in line


def test_a_program_that_an_agent_has_not_is_refused_in_a_line(typed: Typed):
    line = typed("plugins", "check", "echo", "--program", sys.executable).failed(1)

    assert "echo agents have no program" in line
