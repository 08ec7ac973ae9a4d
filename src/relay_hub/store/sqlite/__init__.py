"""The store on SQLite, with nothing but the standard library."""

from __future__ import annotations

from relay_hub.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
