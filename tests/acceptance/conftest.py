"""Commands as a user types them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from user_commands import Done, Relay, Typed, run_here


@pytest.fixture
def relay(short_path: Path, request: pytest.FixtureRequest) -> Iterator[Relay]:
    """A user with an empty home, where nothing runs yet."""
    # Tests with a real Codex have a loop of their own, and type from threads.
    in_a_loop = request.node.get_closest_marker("codex") is not None
    user = Relay(short_path / "home", in_process=not in_a_loop)
    yield user
    user.end()


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Run the program's own entry in this process: quick enough for a hundred mistakes."""

    def type_it(*arguments: str, program: str = "agent-relay", stdin: bytes = b"") -> Done:
        return run_here(program, arguments, stdin, os.environ, tmp_path)

    return type_it
