"""Running one operation: a unit of work in the store, and then telling whom it concerns."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from relay_core.errors import HubRefused
from relay_core.messages import Struct
from relay_core.ports import Clock, Random
from relay_hub.callers import USER, Caller, Once
from relay_hub.limits import Limits
from relay_hub.service import claims, guard, notices, receipts
from relay_hub.service.changes import Changes
from relay_hub.service.guard import GuardStopped
from relay_hub.service.once import answer_once
from relay_hub.store import Reads, Store, StoreError, StoreFull, Transaction
from relay_hub.streams import Streams

T = TypeVar("T")

log = logging.getLogger(__name__)

FREE_SPACE = "free some disk space"
_STORAGE_RETRY_S = 30


class Committer:
    """Turns what the rules decide into commits, refusals and frames."""

    def __init__(
        self, store: Store, streams: Streams, clock: Clock, random: Random, limits: Limits
    ) -> None:
        self._store = store
        self._streams = streams
        self._clock = clock
        self._random = random
        self._limits = limits
        self.full: NoRoom | None = None
        self._in_flight: set[tuple[str, str, str]] = set()

    def must_have_room(self) -> None:
        """Refuse with 503 `storage` what would take more room, while there is none."""
        if self.full is not None:
            raise self.full.refusal()

    async def change(
        self,
        work: Callable[[Transaction, Changes], Awaitable[T]],
        kind: type[T] | None = None,
        caller: Caller = USER,
    ) -> T:
        """Commit one unit of work, then publish.

        With an idempotency key of the caller's, at most once for that key; `kind` is what its
        answer is read back as.
        """
        once = caller.once
        changes = Changes(self._clock.now_ms(), self._random.random, self._limits)

        async def unit(tx: Transaction) -> T:
            changes.begin()
            if once is None or kind is None:
                result = await work(tx, changes)
            else:
                result = await answer_once(
                    tx, once, kind, lambda: work(tx, changes), changes.now_ms
                )
            if changes.reopened or changes.declined:
                await claims.settle(tx, changes)
            if changes.died:
                await notices.tell_of_the_dead(tx, changes)
            if changes.receipts:
                changes.told = await receipts.made(tx, changes)
            return result

        try:
            if once is None:
                result = await self._store.write(unit)
            else:
                with self._one_at_a_time(once):
                    result = await self._store.write(unit)
        except GuardStopped as stopped:
            await self._mark(stopped)
            raise
        except StoreFull as error:
            fix = error.fix or FREE_SPACE
            raise NoRoom(detail=error.detail, fix=fix).refusal() from error
        except StoreError as error:
            raise _unavailable(error) from error
        self._publish(changes)
        return result

    async def _mark(self, stopped: GuardStopped) -> None:
        """Note what was stopped; that it could not be noted lets nothing through."""
        try:
            await self.change(lambda tx, changes: guard.note(tx, stopped.stop, changes))
        except HubRefused as error:  # the refusal itself is raised by the caller in any case
            log.warning("%s, which could not be noted: %s", stopped.detail, error.detail)

    async def look(self, work: Callable[[Reads], Awaitable[T]]) -> T:
        """Ask one consistent state of the store."""
        try:
            return await self._store.read(work)
        except StoreError as error:
            raise _unavailable(error) from error

    @contextmanager
    def _one_at_a_time(self, once: Once) -> Generator[None]:
        key = (once.scope, once.route, once.key)
        if key in self._in_flight:
            raise HubRefused(
                409,
                "idempotency_in_flight",
                "the same request is being worked on",
                retry_after_s=1,
            )
        self._in_flight.add(key)
        try:
            yield
        finally:
            self._in_flight.discard(key)

    def _publish(self, changes: Changes) -> None:
        for agent_id, epoch in changes.fenced.items():
            self._streams.fence(agent_id, epoch)
        for agent_id, up_to in changes.mail.items():
            self._streams.mail(agent_id, up_to)
        for receipt in changes.told:
            self._streams.receipt(receipt)


class NoRoom(Struct):
    """Why nothing more is taken in for now; reading and acknowledging still work."""

    detail: str
    fix: str = FREE_SPACE

    def refusal(self) -> HubRefused:
        """503 `storage`."""
        return HubRefused(503, "storage", self.detail, retry_after_s=_STORAGE_RETRY_S, fix=self.fix)


def _unavailable(error: StoreError) -> HubRefused:
    return HubRefused(503, error.code, error.detail, fix=error.fix)
