"""Every test here runs on a real Codex with a stub model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_watch import Watch, watch
from real_codex import Workplace
from relay_plugins.codex.testing import AppServerClient, CodexServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.codex)


@pytest.fixture
async def user(codex_server: CodexServer) -> AsyncIterator[AppServerClient]:
    """Whoever sits at the terminal: starts threads and is subscribed to them."""
    async with codex_server.client(name="codex-tui") as client:
        yield client


@pytest.fixture
async def codex(workplace: Workplace, codex_server: CodexServer) -> AsyncIterator[Watch]:
    """An adapter under watch, with nothing attached."""
    async with watch(workplace.codex_home) as watching:
        yield watching
