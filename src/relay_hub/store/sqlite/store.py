"""The SQLite store: one writer with group commit, one reader, one process."""

# Rule 1: whatever is queued when the writer is free goes into one commit. Callers are answered
#         after it, so durability costs one sync for all of them.
# Rule 2: a unit of work that raises is rolled back to its savepoint; its neighbours stay.
# Rule 3: when SQLite itself fails, the batch is rolled back and each unit is tried alone.
# Rule 4: the writer's connection does all writes and all checkpoints.

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from relay_core.ports import Failpoint
from relay_hub.store.errors import StoreError, StoreFailed, StoreFull
from relay_hub.store.port import Reads, Transaction
from relay_hub.store.sqlite import opening
from relay_hub.store.sqlite.reads import SqliteReads
from relay_hub.store.sqlite.transaction import SqliteTransaction

MOST_PER_COMMIT = 512

T = TypeVar("T")
Unit = Callable[[Transaction], Awaitable[Any]]
Outcome = tuple[bool, Any]
"""True and the result, or False and the error."""


def _no_failpoint(name: Failpoint) -> bool:  # noqa: ARG001 - the shape of a failpoint
    return False


class SqliteStore:
    """Implements `relay_hub.store.Store`; used from one event loop.

    The writer's work runs on `executor`, a batch at a time; reading happens in the loop's thread,
    on a connection of its own, and is short. `commits` counts, for tests and metrics.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        *,
        executor: Executor,
        failpoint: Callable[[Failpoint], object] = _no_failpoint,
        path: Path | None = None,
        lock: opening.ProcessLock | None = None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._transaction = SqliteTransaction(writer)
        self._reads = SqliteReads(reader)
        self._executor = executor
        self._failpoint = failpoint
        self._lock = lock
        self.path = path
        self._identity = None if path is None else opening.identity(path)
        self.commits = 0
        self._queue: list[tuple[Unit, asyncio.Future[Any]]] = []
        self._busy = False
        self._failed: StoreFailed | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        executor: Executor,
        store_id: str,
        failpoint: Callable[[Failpoint], object] = _no_failpoint,
    ) -> SqliteStore:
        """Open the database at `path`, or make it; `store_id` names a new one.

        Raises StoreBusy, StoreDamaged, StoreTooNew, StoreUnsafe or StoreError.
        """
        opening.make_folder(path.parent)
        lock = opening.ProcessLock(path)
        try:
            opening.prepare(path, store_id, was_there=lock.held_before)
            with opening.errors_at(path):
                writer = opening.connect(path)
                reader = opening.connect(path, read_only=True)
        except BaseException:
            lock.release()
            raise
        return cls(writer, reader, executor=executor, failpoint=failpoint, path=path, lock=lock)

    @classmethod
    def in_memory(
        cls,
        *,
        executor: Executor,
        store_id: str = "memory",
        failpoint: Callable[[Failpoint], object] = _no_failpoint,
    ) -> SqliteStore:
        """Open an empty database that is gone after `close`; `executor` must be an inline one."""
        connection = opening.connect_memory(store_id)
        return cls(connection, connection, executor=executor, failpoint=failpoint)

    async def write(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._failed is not None:
            raise self._failed
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append((unit, future))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            # One turn of the loop later, so that what is sent together is committed together.
            loop.call_soon(self._start, loop)
        return await future

    async def read(self, unit: Callable[[Reads], Awaitable[T]]) -> T:
        if self._failed is not None:
            raise self._failed
        try:
            self._reader.execute("BEGIN")
            try:
                return _run(unit(self._reads))
            finally:
                self._reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def size_bytes(self) -> int:
        # The file does not shrink, and its log is written over: what counts are pages in use.
        used = self._pragma("page_count") - self._pragma("freelist_count")
        return max(0, used) * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        try:
            return int(self._reader.execute(f"PRAGMA {name}").fetchone()[0])
        except sqlite3.Error:
            return 0  # whoever reads next is told

    def free_bytes(self) -> int:
        if self.path is None:
            return 1 << 62
        if (gone := self._gone()) is not None:
            raise gone
        found = os.statvfs(self.path.parent)
        return found.f_bavail * found.f_frsize

    @property
    def failed(self) -> StoreFailed | None:
        """Why the store can no longer be used; None while it can."""
        return self._failed

    async def close(self) -> None:
        await self._idle.wait()
        if self._failed is None:
            self._failed = StoreFailed("the store is closed")
        # The reader goes first: the last connection to close does the final checkpoint.
        self._reader.close()
        self._writer.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # The writer ----------------------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._queue[:MOST_PER_COMMIT]
        del self._queue[:MOST_PER_COMMIT]
        if not batch:
            self._busy = False
            self._idle.set()
            return
        job = self._executor.submit(self._commit, [unit for unit, _ in batch])
        job.add_done_callback(
            lambda done: loop.call_soon_threadsafe(partial(self._answer, loop, batch, done))
        )

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Unit, asyncio.Future[Any]]],
        done: Future[list[Outcome]],
    ) -> None:
        error = done.exception()
        outcomes = done.result() if error is None else [(False, error)] * len(batch)
        for (_, future), (worked, result) in zip(batch, outcomes, strict=True):
            if future.cancelled():
                continue
            if worked:
                future.set_result(result)
            else:
                future.set_exception(result)
        self._start(loop)

    def _commit(self, units: list[Unit]) -> list[Outcome]:
        # In the writer's thread from here on.
        if self._failed is not None:
            return [(False, self._failed)] * len(units)
        try:
            return self._commit_together(units)
        except sqlite3.Error as error:
            self._roll_back()
            if len(units) == 1 or _code(error) in _FOR_ALL:
                return [(False, self._translated(error))] * len(units)
        return [outcome for unit in units for outcome in self._commit([unit])]

    def _commit_together(self, units: list[Unit]) -> list[Outcome]:
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        if len(units) == 1:
            outcomes = [self._try(units[0])]
            if not outcomes[0][0]:
                self._roll_back()
                return outcomes
        else:
            outcomes = list[Outcome]()
            for unit in units:
                execute("SAVEPOINT unit")
                outcomes.append(outcome := self._try(unit))
                if not outcome[0]:
                    execute("ROLLBACK TO unit")
                execute("RELEASE unit")
        try:
            self._failpoint(Failpoint.HUB_BEFORE_COMMIT)
        except BaseException:
            self._roll_back()
            raise
        execute("COMMIT")
        self.commits += 1
        self._failpoint(Failpoint.HUB_AFTER_COMMIT)
        # Before anybody is answered: what is written to a file that has no name is lost.
        if (gone := self._gone()) is not None:
            return [(False, gone)] * len(units)
        return outcomes

    def _try(self, unit: Unit) -> Outcome:
        try:
            return True, _run(unit(self._transaction))
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to whoever queued this unit
            return False, error

    def _gone(self) -> StoreFailed | None:
        """See whether the database still has its name; a store without one is done for."""
        if self.path is not None and opening.identity(self.path) != self._identity:
            self._failed = StoreFailed(
                f"{self.path} was moved or deleted while the hub used it",
                fix="put it back with what lay beside it, then start the hub again",
            )
            return self._failed
        return None

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _translated(self, error: sqlite3.Error) -> StoreError:
        code = _code(error)
        if code in _FATAL:
            self._failed = StoreFailed(
                f"the store failed: {error}", fix="look at the disk, then start the hub again"
            )
            return self._failed
        if code in _NOT_NOW:
            return StoreFull(f"the store cannot be written now: {error}", fix=_NOT_NOW[code])
        return StoreError(f"the store refused a statement: {error}")


_FATAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_NOW = {
    sqlite3.SQLITE_FULL: "free some disk space",
    sqlite3.SQLITE_BUSY: opening.CLOSE_IT,
    sqlite3.SQLITE_LOCKED: opening.CLOSE_IT,
}
# What each unit alone would meet again: a lock would be waited for as often as there are units.
_FOR_ALL = _FATAL | {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _run(work: Awaitable[T]) -> T:
    """Run a unit of work to its end, without a loop: nothing that it awaits suspends."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a unit of work waited for something other than its transaction")
