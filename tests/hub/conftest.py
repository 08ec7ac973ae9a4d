"""A service in memory for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from hub_kit import Hub, memory_hub


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    made = await memory_hub()
    yield made
    await made.close()
