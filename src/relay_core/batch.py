"""Which deliveries may go into a session next, and in which order."""

# Rule 1: per sender, the hub's sequence order is the order of the session. A held, skipped, dead or
#         expired delivery does not block its sender's next; one in doubt or waiting for a retry
#         does.
# Rule 2: a delivery that an agent crashed on goes alone.
# Rule 3: a request goes alone, so that the turn is its own: what it ends with may be the answer.
# Rule 4: what starts no turn goes after the others of a batch, never without them, never with one
#         that goes alone. It waits like a held one: it blocks nobody.
# Rule 5: while an agent's turns for others are spent, what agents sent waits; what was sent with
#         the user's token goes on.
# Rule 6: pure. Time arrives as an argument.

from __future__ import annotations

from collections.abc import Sequence

from relay_core.delivery import IN_DOUBT, WAITING
from relay_core.messages import REQUEST, AgentId, Credential, Offer, Struct, starts_no_turn


class Batch(Struct):
    """The deliveries that may go together now, oldest first, and when to look again.

    `wake_at_ms` is when the earliest retry among the blocked ones may start, `turns_from_ms` when
    those may go that wait for turns; None when nothing but an event can change the answer. `along`
    are those that wait for others to go with.
    """

    offers: tuple[Offer, ...] = ()
    along: tuple[Offer, ...] = ()
    wake_at_ms: int | None = None
    turns_from_ms: int | None = None


def next_batch(
    offers: Sequence[Offer], now_ms: int, *, most: int = 1_000, turns_from_ms: int | None = None
) -> Batch:
    """Pick what may go now from all open deliveries of one session.

    `most` bounds one batch; what is over goes with the next. `turns_from_ms` is when what agents
    sent may start turns again, None where it may.
    """
    spent = turns_from_ms is not None and turns_from_ms > now_ms
    blocked: set[AgentId] = set()
    ready: list[Offer] = []
    along: list[Offer] = []
    wakes: list[int] = []
    waits_for_turns = False
    for offer in sorted(offers, key=lambda each: each.delivery.seq):
        delivery, sender = offer.delivery, offer.message.from_
        if delivery.state in IN_DOUBT:
            blocked.add(sender)
        elif delivery.state not in WAITING or sender in blocked:
            continue
        elif starts_no_turn(offer.message):
            if delivery.not_before_ms <= now_ms and not delivery.strikes:
                along.append(offer)
        elif delivery.not_before_ms > now_ms:
            blocked.add(sender)
            wakes.append(delivery.not_before_ms)
        elif spent and is_of_agents(offer):
            blocked.add(sender)
            waits_for_turns = True
        else:
            ready.append(offer)
    first = _alone(ready)
    together = first if not first or _goes_alone(first[0]) else [*first, *along]
    return Batch(
        offers=tuple(together[:most]),
        along=tuple(along),
        wake_at_ms=min(wakes, default=None),
        turns_from_ms=turns_from_ms if waits_for_turns else None,
    )


def is_of_agents(offer: Offer) -> bool:
    """Tell whether no person sent it: its turn counts as one for others."""
    return offer.message.sender.credential is not Credential.USER


def _alone(ready: list[Offer]) -> list[Offer]:
    for index, offer in enumerate(ready):
        if _goes_alone(offer):
            return ready[: max(index, 1)]
    return ready


def _goes_alone(offer: Offer) -> bool:
    return bool(offer.delivery.strikes) or offer.message.type == REQUEST
