"""What time does to deliveries and claims."""

# Rule 1: leases are counted by the hub's clock. When that jumps (a sleeping laptop, a corrected
#         clock), every lease begins anew: late is harmless, early is not. For the same reason
#         nothing is forgotten for an hour then.
# Rule 2: a conversation is forgotten as a whole, once all of it is finished and old, so that what
#         is kept never answers something that is gone. A little at a time: sends go between.

from __future__ import annotations

from relay_core.delivery import Released, TimeRanOut
from relay_core.messages import Delivery
from relay_core.ports import Clock
from relay_hub.limits import Limits
from relay_hub.service import claims, pairs
from relay_hub.service.changes import Changes, apply
from relay_hub.store import Reads, Transaction

EVERY_S = 1.0
MOST = 500
JUMP_MS = 5_000
MOST_PRUNED = 200
_FORGET_EVERY_MS = 3_600_000
_PRUNE_EVERY_S = 60.0
_PRUNE_AFTER_JUMP_S = 3_600.0


class Sweeper:
    """Remembers when it last looked, by both clocks."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._keep_ms = limits.keep_ms
        self._prune_at_s = clock.monotonic()
        self._offset_ms = self._offset()
        self._retries_ms = clock.now_ms()
        self._forgot_ms = 0

    def _offset(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1_000

    def clock_jumped(self) -> bool:
        """Tell whether the wall clock moved against the monotonic one since the last look."""
        former, self._offset_ms = self._offset_ms, self._offset()
        jumped = abs(self._offset_ms - former) > JUMP_MS
        if jumped:
            self._prune_at_s = self._clock.monotonic() + _PRUNE_AFTER_JUMP_S
        return jumped

    async def is_something_due(self, reads: Reads) -> bool:
        """Tell whether there is something to write; asked each time, so it only reads."""
        now = self._clock.now_ms()
        if now - self._forgot_ms >= _FORGET_EVERY_MS:
            self._forgot_ms = now
            return True
        return bool(
            await reads.expired(now, 1)
            or await reads.hold_ended(now, 1)
            or await reads.lapsed(now, 1)
            or await reads.pairs_expired(now, 1)
        )

    async def is_something_old(self, reads: Reads) -> bool:
        """Tell whether there is something to forget; looks once a minute while there is not."""
        now_s = self._clock.monotonic()
        if now_s < self._prune_at_s:
            return False
        before_ms = self._clock.now_ms() - self._keep_ms
        found = await reads.finished(before_ms, 1) or await reads.forgotten_pairs(before_ms, 1)
        if not found:
            self._prune_at_s = now_s + _PRUNE_EVERY_S
        return bool(found)

    async def retries(self, reads: Reads) -> tuple[Delivery, ...]:
        """The deliveries whose next try became due since the last look."""
        after, self._retries_ms = self._retries_ms, self._clock.now_ms()
        return await reads.retry_due(after, self._retries_ms, MOST)


async def sweep(tx: Transaction, changes: Changes) -> None:
    """Expire, release and lapse what is due, up to a bounded number of each."""
    now = changes.now_ms
    for delivery in await tx.expired(now, MOST):
        await apply(tx, delivery, TimeRanOut(), changes)
    await claims.settle(tx, changes)
    for delivery in await tx.hold_ended(now, MOST):
        await apply(tx, delivery, Released(), changes)
    for claim in await tx.lapsed(now, MOST):
        await claims.lapse(tx, claim.message_id, changes)
    for pair in await tx.pairs_expired(now, MOST):
        await pairs.expire(tx, pair, changes)
    await tx.forget_answers(now - changes.limits.idempotency_ms)


async def prune(tx: Transaction, changes: Changes) -> int:
    """Forget what is finished and old, up to a bounded number of messages; answers how many."""
    left, before_ms = MOST_PRUNED, changes.now_ms - changes.limits.keep_ms
    for pair_id in await tx.forgotten_pairs(before_ms, MOST_PRUNED):
        await tx.prune_pair(pair_id)
    for conversation in await tx.finished(before_ms, MOST_PRUNED):
        left -= await tx.prune(conversation, left)
        if left <= 0:
            break
    return MOST_PRUNED - left
