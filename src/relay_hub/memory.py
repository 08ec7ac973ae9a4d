"""A hub that lives in memory, in the caller's loop and on the caller's clock: for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from relay_core.ports import Clock, Random
from relay_hub.local import LocalHub
from relay_hub.service import HubService
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore


@asynccontextmanager
async def open_hub(clock: Clock, random: Random) -> AsyncGenerator[LocalHub]:
    """Open one for as long as the block runs; what it stores is gone afterwards.

    The harness of `relay_core.testing` finds it by its entry point. It waits for no thread, so that
    it runs on a virtual clock.
    """
    store = SqliteStore.in_memory(executor=InlineExecutor())
    try:
        service = await HubService.open(store, clock=clock, random=random)
        sweeping = asyncio.create_task(service.run(), name="hub sweep")
        try:
            yield LocalHub(service)
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
    finally:
        await store.close()
