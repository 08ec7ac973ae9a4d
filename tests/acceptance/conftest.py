"""Commands as a user types them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from user_commands import Relay


@pytest.fixture
def relay(short_path: Path) -> Iterator[Relay]:
    """A user with an empty home, where nothing runs yet."""
    user = Relay(short_path / "home")
    yield user
    user.end()
