"""What a command raises, and how it then ends."""

import asyncio
import json
import sys
from types import ModuleType

import click
import pytest

from relay_cli import serving
from relay_cli.connection import look_around
from relay_cli.program import CommandPlace, LazyGroup, run
from relay_core.errors import HubUnreachable, SettingsError

UNREACHABLE = HubUnreachable("no hub answers at http://127.0.0.1:1", fix="agent-relay up")


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a program whose one command raises what it is told to."""

    def raise_it(error: Exception, *options: str) -> tuple[int, str, str]:
        @click.command("fail")
        @click.option("--json", is_flag=True, expose_value=False)
        def command() -> None:
            raise error

        module = ModuleType("failing_command")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        places = {"fail": CommandPlace(module=module.__name__, summary="Fail.")}
        code = run(LazyGroup("agent-relay", places, "A program."), ["fail", *options])
        return code, *capsys.readouterr()

    return raise_it


def test_an_error_of_one_task_ends_a_command_as_if_it_stood_alone(raising):
    nested = ExceptionGroup("host", [ExceptionGroup("hooks", [UNREACHABLE])])

    code, _, line = raising(nested)

    assert (code, line) == raising(UNREACHABLE)[::2]
    assert code == 3
    assert line == ("agent-relay: no hub answers at http://127.0.0.1:1 — run `agent-relay up`\n")
    report = json.loads(raising(nested, "--json")[1])["error"]
    assert (report["code"], report["fix"]) == ("hub_unreachable", "agent-relay up")


def test_a_refused_file_inside_a_group_is_named(raising):
    missing = PermissionError(13, "Permission denied", "/some/file")

    code, _, line = raising(ExceptionGroup("host", [missing]))

    assert code == 1
    assert "/some/file: Permission denied" in line


def test_errors_of_several_tasks_are_all_named_on_one_line(raising):
    several = [UNREACHABLE, ExceptionGroup("more", [SettingsError("a\nbad file"), KeyError("k")])]

    code, _, line = raising(ExceptionGroup("host", several))

    assert code == 1
    assert line.count("\n") == 1
    for told in (
        "no hub answers",
        "SettingsError: a bad file",
        "KeyError: 'k'",
        "AGENT_RELAY_DEBUG",
    ):
        assert told in line


def test_what_ends_the_host_reaches_up_without_its_group(monkeypatch: pytest.MonkeyPatch):
    async def serve(*arguments: object) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async def fail() -> None:
        raise UNREACHABLE

    monkeypatch.setattr(serving, "_serve", serve)
    monkeypatch.setattr(serving, "write_logs", lambda file: None)

    with pytest.raises(HubUnreachable) as caught:
        serving.run(look_around(), {}, port=None, announce=lambda report: None)

    assert caught.value is UNREACHABLE
