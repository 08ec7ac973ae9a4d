"""The conformance suite as the author of a store uses it, with pytest and without."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_type

import pytest

from relay_hub.store import Store
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore
from relay_hub.testing import Report, StoreConformance, check_store


@asynccontextmanager
async def open_store() -> AsyncGenerator[Store]:
    store = SqliteStore.in_memory(executor=InlineExecutor())
    yield store
    await store.close()


class TestMyStore(StoreConformance):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        async with open_store() as store:
            yield store


async def by_hand() -> list[str]:
    report = await check_store(open_store)
    assert_type(report, Report)
    return [f"{row.case}: {row.detail}" for row in report.rows if not row.ok]
