"""What time does to deliveries and claims."""

# Rule 1: leases are counted by the hub's clock. When that jumps (a sleeping laptop, a corrected
#         clock), every lease begins anew: late is harmless, early is not.

from __future__ import annotations

from relay_core.delivery import Released, TimeRanOut
from relay_core.messages import Delivery
from relay_core.ports import Clock
from relay_hub.service import claims
from relay_hub.service.changes import Changes, apply
from relay_hub.store import Reads, Transaction

EVERY_S = 1.0
MOST = 500
JUMP_MS = 5_000
_FORGET_EVERY_MS = 3_600_000


class Sweeper:
    """Remembers when it last looked, by both clocks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()
        self._retries_ms = clock.now_ms()
        self._forgot_ms = 0

    def _offset(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1_000

    def clock_jumped(self) -> bool:
        """Tell whether the wall clock moved against the monotonic one since the last look."""
        former, self._offset_ms = self._offset_ms, self._offset()
        return abs(self._offset_ms - former) > JUMP_MS

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
        )

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
    await tx.forget_answers(now - changes.limits.idempotency_ms)
