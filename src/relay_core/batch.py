"""Which deliveries may go into a session next, and in which order."""

# Rule 1: per sender, the hub's sequence order is the order of the session. A held, skipped, dead or
#         expired delivery does not block its sender's next; one in doubt or waiting for a retry
#         does.
# Rule 2: a delivery that an agent crashed on goes alone.
# Rule 3: a request goes alone, so that the turn is its own: what it ends with may be the answer.
# Rule 4: pure. Time arrives as an argument.

from __future__ import annotations

from collections.abc import Sequence

from relay_core.delivery import IN_DOUBT, WAITING
from relay_core.messages import REQUEST, AgentId, Offer, Struct


class Batch(Struct):
    """The deliveries that may go together now, oldest first, and when to look again.

    `wake_at_ms` is when the earliest retry among the blocked ones may start; None when nothing but
    an event can change the answer.
    """

    offers: tuple[Offer, ...] = ()
    wake_at_ms: int | None = None


def next_batch(offers: Sequence[Offer], now_ms: int, *, most: int = 1_000) -> Batch:
    """Pick what may go now from all open deliveries of one session.

    `most` bounds one batch; what is over goes with the next.
    """
    blocked: set[AgentId] = set()
    ready: list[Offer] = []
    wakes: list[int] = []
    for offer in sorted(offers, key=lambda each: each.delivery.seq):
        delivery, sender = offer.delivery, offer.message.from_
        if delivery.state in IN_DOUBT:
            blocked.add(sender)
        elif delivery.state in WAITING and sender not in blocked:
            if delivery.not_before_ms > now_ms:
                blocked.add(sender)
                wakes.append(delivery.not_before_ms)
            else:
                ready.append(offer)
    return Batch(offers=tuple(_alone(ready)[:most]), wake_at_ms=min(wakes, default=None))


def _alone(ready: list[Offer]) -> list[Offer]:
    for index, offer in enumerate(ready):
        if offer.delivery.strikes or offer.message.type == REQUEST:
            return ready[: max(index, 1)]
    return ready
