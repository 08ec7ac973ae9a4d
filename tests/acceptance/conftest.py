"""Commands as a user types them."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from user_commands import Done, Relay, Typed


@pytest.fixture
def relay(short_path: Path) -> Iterator[Relay]:
    """A user with an empty home, where nothing runs yet."""
    user = Relay(short_path / "home")
    yield user
    user.end()


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run the program's own entry in this process: quick enough for a hundred mistakes."""
    from relay_cli.program import run
    from relay_cli.programs import AGENT_RELAY, AGENT_RELAY_CODEX

    programs = {program.name: program for program in (AGENT_RELAY, AGENT_RELAY_CODEX)}

    def type_it(*arguments: str, program: str = "agent-relay", stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(programs[program], arguments)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return type_it
