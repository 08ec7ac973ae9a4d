"""The conformance suite on every store that there is."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay_hub.store import Store
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore
from relay_hub.testing import StoreConformance


class TestSqliteOnAFile(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        with ThreadPoolExecutor(max_workers=1) as writer:
            store = SqliteStore.open(tmp_path / "hub.sqlite", executor=writer, store_id="x")
            yield store
            await store.close()


class TestSqliteInMemory(StoreConformance):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = SqliteStore.in_memory(executor=InlineExecutor())
        yield store
        await store.close()
