"""The hub's durable memory: a port, and what implements it."""

from __future__ import annotations

from relay_hub.store.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreTooNew,
    StoreUnsafe,
)
from relay_hub.store.port import Reads, Store, Transaction

__all__ = [
    "Reads",
    "Store",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreTooNew",
    "StoreUnsafe",
    "Transaction",
]
