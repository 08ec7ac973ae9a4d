"""The delivery machine: what can happen to one message on its way to one recipient."""

# Rule 1: everything that changes a delivery's state is in this file, in the table below.
# Rule 2: `step` is a pure function. Time, randomness and identity arrive as arguments; nothing here
#         reads a clock, draws a number, logs or does I/O.
# Rule 3: an event that the table does not allow raises IllegalTransition and changes nothing.
# Rule 4: events are in the past tense (they happened); commands are in the imperative (do them,
#         after the new row is stored).
# Rule 5: a delivery that is injecting or uncertain is decided by evidence alone. Nothing expires,
#         cancels or holds it before its attempt is resolved.
# Rule 6: `delivered` is reached by proof (or by the recipient saying that it read the message),
#         never by an agent's promise to take it.

from __future__ import annotations

import msgspec

from relay_core import retry
from relay_core.errors import IllegalTransition
from relay_core.messages import AttemptId, Delivery, DeliveryState, Struct

MAX_STRIKES = 2
"""Agent crashes right after injecting a message, after which it is poison."""

CLAIMED_BY_OTHER = "claimed_by_other"
"""The reason of a delivery that was skipped because another agent claimed the work."""


RELEASED = "released"
"""The reason of a delivery that was skipped because its agent gave the claimed work back."""

COMES_BACK = frozenset({CLAIMED_BY_OTHER, RELEASED})
"""Reasons for skipping that do not last: the work can be had again."""


class Event(Struct):
    """Something that happened to a delivery."""


class Held(Event):
    """A plugin wants it later: at `until_ms`, or when it is released."""

    reason: str
    until_ms: int | None = None


class Released(Event):
    """A hold ended: by its time, by a plugin, or by a person.

    `approved` when a human said yes to it, which is final: no plugin is to hold it again.
    """

    approved: bool = False


class Edited(Event):
    """A person put another text in the place of the sender's, for this recipient."""


class Skipped(Event):
    """The recipient's rules say that this message is not for its session."""

    reason: str


class Claimed(Event):
    """The recipient holds the claim on this message, with this token."""

    token: int


class ClaimTakenByOther(Event):
    """Another agent holds the claim."""


class ClaimReopened(Event):
    """The claim lapsed or was released: the work is offered again."""


class ClaimExhausted(Event):
    """The claim lapsed too often: the work is offered to nobody any more."""


class AttemptRecorded(Event):
    """The hub stored which attempt carries it; from now on the session may hold it."""

    attempt_id: AttemptId


class AttemptDoubted(Event):
    """Whoever made the attempt is gone or saw no answer: only the session's history can tell."""


class Proved(Event):
    """The agent's own history shows the attempt (`reason` is `unproved` where an agent has
    none)."""

    turn_id: str | None = None
    reason: str | None = None


class FoundAbsent(Event):
    """The agent's history was looked at and does not hold the attempt.

    `agent_crashed` says that the agent died right after it was handed over.
    """

    reason: str | None = None
    agent_crashed: bool = False


class AttemptFailed(Event):
    """The agent refused the input; `permanent` when it would refuse it again."""

    reason: str
    permanent: bool = False


class MarkedRead(Event):
    """The recipient said that it read the message by itself (polling clients, the inbox)."""


class TimeRanOut(Event):
    """Its time to live is over."""


class CancelRequested(Event):
    """The sender, or a person, took it back."""


class RecipientRemoved(Event):
    """The agent that it was for was deleted."""


EVENTS: tuple[type[Event], ...] = (
    Held, Released, Edited, Skipped, Claimed, ClaimTakenByOther, ClaimReopened, ClaimExhausted,
    AttemptRecorded, AttemptDoubted, Proved, FoundAbsent, AttemptFailed, MarkedRead, TimeRanOut,
    CancelRequested, RecipientRemoved,
)  # fmt: skip


class Command(Struct):
    """What must be done after the new row is stored."""


class TellSender(Command):
    """Let the sender know the state and the reason."""


class OfferAgain(Command):
    """Tell the recipient's host that there is something to look at, at `at_ms` or later."""

    at_ms: int


class ReopenClaim(Command):
    """Its claim will not be used: offer the work to the others."""


S = DeliveryState

TRANSITIONS: dict[DeliveryState, dict[type[Event], frozenset[DeliveryState]]] = {
    S.QUEUED: {
        Held: frozenset({S.HELD}),
        Skipped: frozenset({S.SKIPPED}),
        Claimed: frozenset({S.LEASED}),
        ClaimTakenByOther: frozenset({S.SKIPPED}),
        ClaimExhausted: frozenset({S.DEAD}),
        AttemptRecorded: frozenset({S.INJECTING}),
        MarkedRead: frozenset({S.DELIVERED}),
        TimeRanOut: frozenset({S.EXPIRED}),
        CancelRequested: frozenset({S.CANCELLED}),
        RecipientRemoved: frozenset({S.DEAD}),
    },
    S.LEASED: {
        Held: frozenset({S.HELD}),
        Skipped: frozenset({S.SKIPPED}),
        Claimed: frozenset({S.LEASED}),
        ClaimTakenByOther: frozenset({S.SKIPPED}),
        ClaimExhausted: frozenset({S.DEAD}),
        ClaimReopened: frozenset({S.QUEUED}),
        AttemptRecorded: frozenset({S.INJECTING}),
        MarkedRead: frozenset({S.DELIVERED}),
        TimeRanOut: frozenset({S.EXPIRED}),
        CancelRequested: frozenset({S.CANCELLED}),
        RecipientRemoved: frozenset({S.DEAD}),
    },
    S.INJECTING: {
        AttemptDoubted: frozenset({S.UNCERTAIN}),
        Proved: frozenset({S.DELIVERED}),
        FoundAbsent: frozenset({S.QUEUED, S.LEASED, S.DEAD}),
        AttemptFailed: frozenset({S.QUEUED, S.LEASED, S.DEAD}),
        RecipientRemoved: frozenset({S.DEAD}),
    },
    S.UNCERTAIN: {
        AttemptDoubted: frozenset({S.UNCERTAIN}),
        Proved: frozenset({S.DELIVERED}),
        FoundAbsent: frozenset({S.QUEUED, S.LEASED, S.DEAD}),
        AttemptFailed: frozenset({S.QUEUED, S.LEASED, S.DEAD}),
        RecipientRemoved: frozenset({S.DEAD}),
    },
    S.HELD: {
        Held: frozenset({S.HELD}),
        Released: frozenset({S.QUEUED}),
        Edited: frozenset({S.HELD}),
        Skipped: frozenset({S.SKIPPED}),
        ClaimTakenByOther: frozenset({S.SKIPPED}),
        ClaimExhausted: frozenset({S.DEAD}),
        MarkedRead: frozenset({S.DELIVERED}),
        TimeRanOut: frozenset({S.EXPIRED}),
        CancelRequested: frozenset({S.CANCELLED}),
        RecipientRemoved: frozenset({S.DEAD}),
    },
    # Final, but for claimable work: what another agent claimed comes back when the claim lapses,
    # and what this one gave back when it is taken again, unless it was taken back meanwhile.
    S.SKIPPED: {
        ClaimReopened: frozenset({S.QUEUED}),
        CancelRequested: frozenset({S.CANCELLED}),
    },
    S.DELIVERED: {},
    S.EXPIRED: {},
    S.CANCELLED: {},
    S.DEAD: {},
}

FINAL: frozenset[DeliveryState] = frozenset(
    {S.DELIVERED, S.SKIPPED, S.EXPIRED, S.CANCELLED, S.DEAD}
)
"""States in which nothing more will be tried."""

IN_DOUBT: frozenset[DeliveryState] = frozenset({S.INJECTING, S.UNCERTAIN})
"""States in which the session may or may not hold the message."""

WAITING: frozenset[DeliveryState] = frozenset({S.QUEUED, S.LEASED})
"""States from which an attempt may be made."""


class Step(Struct):
    """The result of one event: the new row and what to do once it is stored."""

    delivery: Delivery
    commands: tuple[Command, ...] = ()


def step(delivery: Delivery, event: Event, *, now_ms: int, jitter: float = 0.0) -> Step:
    """Apply one event to one delivery.

    `jitter` (0 <= jitter < 1) spreads the retries of failed attempts. Raises IllegalTransition,
    with nothing changed, where the table has no arrow.
    """
    allowed = TRANSITIONS[delivery.state].get(type(event))
    if allowed is None or not _guard(delivery):
        raise IllegalTransition(delivery.state, type(event).__name__)
    result = _apply(delivery, event, now_ms, jitter)
    if result.delivery.state not in allowed:  # a rule below that the table does not know
        raise IllegalTransition(delivery.state, type(event).__name__)
    return result


def allows(delivery: Delivery, kind: type[Event]) -> bool:
    """Tell whether this kind of event can happen to this delivery."""
    return kind in TRANSITIONS[delivery.state] and _guard(delivery)


def _guard(delivery: Delivery) -> bool:
    return delivery.state is not S.SKIPPED or delivery.reason in COMES_BACK


def _apply(delivery: Delivery, event: Event, now_ms: int, jitter: float) -> Step:  # noqa: C901 - one arm per event is the point of this function
    match event:
        case Held(reason=reason, until_ms=until_ms):
            held = _to(delivery, S.HELD, reason, now_ms, held_until_ms=until_ms, claim_token=None)
            return Step(delivery=held, commands=_unclaim(delivery, TellSender()))
        case Released(approved=True):
            return _offer(delivery, now_ms, reason="approved", approved_ms=now_ms)
        case Released():
            return _offer(delivery, now_ms, reason="released")
        case Edited():
            edited = _to(delivery, S.HELD, delivery.reason, now_ms, edited=True)
            return Step(delivery=edited, commands=(TellSender(),))
        case Skipped(reason=reason):
            skipped = _to(delivery, S.SKIPPED, reason, now_ms, claim_token=None)
            return Step(delivery=skipped, commands=_unclaim(delivery, TellSender()))
        case Claimed(token=token):
            return Step(delivery=_to(delivery, S.LEASED, None, now_ms, claim_token=token))
        case ClaimTakenByOther():
            skipped = _to(delivery, S.SKIPPED, CLAIMED_BY_OTHER, now_ms, claim_token=None)
            return Step(delivery=skipped)
        case ClaimReopened():
            return _offer(delivery, now_ms, reason="claim_reopened", claim_token=None)
        case ClaimExhausted():
            return _bury(delivery, "claim_lapsed", now_ms)
        case AttemptRecorded(attempt_id=attempt_id):
            recorded = _to(delivery, S.INJECTING, None, now_ms, attempt_id=attempt_id)
            return Step(delivery=recorded)
        case AttemptDoubted():
            return Step(delivery=_to(delivery, S.UNCERTAIN, delivery.reason, now_ms))
        case Proved(turn_id=turn_id, reason=reason):
            proved = _to(
                delivery, S.DELIVERED, reason, now_ms, turn_id=turn_id, delivered_ms=now_ms
            )
            return Step(delivery=proved, commands=(TellSender(),))
        case FoundAbsent():
            return _found_absent(delivery, event, now_ms)
        case AttemptFailed():
            return _failed(delivery, event, now_ms, jitter)
        case MarkedRead():
            read = _to(delivery, S.DELIVERED, "read", now_ms, delivered_ms=now_ms)
            return Step(delivery=read, commands=(TellSender(),))
        case TimeRanOut():
            expired = _to(delivery, S.EXPIRED, "ttl", now_ms, claim_token=None)
            return Step(delivery=expired, commands=_unclaim(delivery, TellSender()))
        case CancelRequested():
            cancelled = _to(delivery, S.CANCELLED, "cancelled", now_ms, claim_token=None)
            return Step(delivery=cancelled, commands=_unclaim(delivery, TellSender()))
        case RecipientRemoved():
            return _bury(delivery, "recipient_removed", now_ms)
        case _:
            raise IllegalTransition(delivery.state, type(event).__name__)


def _found_absent(delivery: Delivery, event: FoundAbsent, now_ms: int) -> Step:
    strikes = delivery.strikes + event.agent_crashed
    if strikes >= MAX_STRIKES:
        return _bury(delivery, "poison", now_ms, strikes=strikes)
    return _offer(delivery, now_ms, reason=event.reason or "absent", strikes=strikes)


def _failed(delivery: Delivery, event: AttemptFailed, now_ms: int, jitter: float) -> Step:
    failures = delivery.attempts + 1
    if event.permanent or failures >= retry.MAX_ATTEMPTS:
        return _bury(delivery, event.reason, now_ms, attempts=failures)
    at_ms = now_ms + retry.delay_ms(failures, jitter)
    return _offer(delivery, now_ms, reason=event.reason, attempts=failures, not_before_ms=at_ms)


def _offer(delivery: Delivery, now_ms: int, *, reason: str, **changes: object) -> Step:
    # With its claim still in hand it is leased again: nobody else may have it meanwhile.
    token = changes.setdefault("claim_token", delivery.claim_token)
    state = S.QUEUED if token is None else S.LEASED
    again = _to(delivery, state, reason, now_ms, held_until_ms=None, **changes)
    return Step(delivery=again, commands=(OfferAgain(at_ms=max(now_ms, again.not_before_ms)),))


def _bury(delivery: Delivery, reason: str, now_ms: int, **changes: object) -> Step:
    dead = _to(delivery, S.DEAD, reason, now_ms, claim_token=None, **changes)
    return Step(delivery=dead, commands=_unclaim(delivery, TellSender()))


def _unclaim(delivery: Delivery, *commands: Command) -> tuple[Command, ...]:
    return (*commands, ReopenClaim()) if delivery.claim_token is not None else commands


def _to(
    delivery: Delivery, state: DeliveryState, reason: str | None, now_ms: int, **changes: object
) -> Delivery:
    return msgspec.structs.replace(
        delivery, state=state, reason=reason, updated_ms=now_ms, **changes
    )
