"""How messages enter a session: the strategies `adaptive` and `patient`."""

# Rule 1: a session at rest gets a turn with all that waits; both strategies agree on that.
# Rule 2: the strategies differ while a turn runs: `adaptive` joins it where the agent can be
#         steered and the recipient's policy lets the sender, `patient` waits for its end.
# Rule 3: a turn is interrupted for an urgent message from a sender whom the recipient's policy
#         allows, and for nothing else. From others urgent changes nothing, and the plan says so.
# Rule 4: a request gets a turn of its own where it can: it joins no digest, and no turn but one
#         that is known to be the user's, where it goes as any other message does.
# Rule 5: nothing joins a turn that waits for the user: it would be lost when the user cancels.
# Rule 6: what came in while the session was quiet comes as one digest with a turn of its own, if it
#         is more than one message. The user's own was not held meanwhile, and is no part of it.

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from relay_core import (
    OPERATOR,
    REQUEST,
    Activity,
    DeliveryPlan,
    Message,
    Mode,
    Policy,
    Provenance,
    Session,
    Steering,
    hookimpl,
    is_from,
    starts_no_turn,
)

ADAPTIVE = "adaptive"
PATIENT = "patient"
STRATEGIES = (ADAPTIVE, PATIENT)

DIGEST_FROM = 4
"""How many messages make a digest of what waited for a session that was away."""

DIGEST_AGE_MS = 60 * 60 * 1000
"""How old one message must be to make a digest by itself."""

QUIET_DIGEST_FROM = 2
"""How many messages make a digest of what came in while the session was quiet."""

_START = DeliveryPlan.start()


@hookimpl(trylast=True)
def choose_delivery(messages: Sequence[Message], session: Session) -> DeliveryPlan:
    """Start at rest; during a turn steer or wait, as the sender's strategy says; see the rules."""
    if session.activity is Activity.AWAY:
        return DeliveryPlan.wait("the session is away")
    if session.activity is Activity.AT_REST:
        return _start(messages, session)
    return _during_a_turn(messages, session)


def strategy_for(message: Message, policy: Policy) -> str:
    """Name the strategy for one sender's messages."""
    return policy.sender_strategies.get(message.from_, policy.strategy)


def _start(messages: Sequence[Message], session: Session) -> DeliveryPlan:
    was_quiet = session.quiet_until_ms is not None
    users = sum(1 for _ in takewhile(_of_the_user, messages)) if was_quiet else 0
    if (held := _held_by_quiet(messages[users:], session)) >= QUIET_DIGEST_FROM:
        if users:
            return DeliveryPlan.start(take=users)
        return DeliveryPlan(mode=Mode.START, take=held, digest=True, reason="digest after quiet")
    if not _wants_digest(messages, session):
        return _START
    away_min = session.away_ms // 60_000
    return DeliveryPlan(mode=Mode.START, digest=True, reason=f"digest after {away_min} min away")


def _held_by_quiet(messages: Sequence[Message], session: Session) -> int:
    """Count the oldest messages that came in before the end of a quiet that is over."""
    ended_ms = session.quiet_until_ms
    if ended_ms is None or ended_ms > session.now:
        return 0
    held = takewhile(lambda each: each.created_at < ended_ms and _is_for_a_digest(each), messages)
    return sum(1 for _ in held)


def _is_for_a_digest(message: Message) -> bool:
    return not (_is_request(message) or _of_the_user(message) or starts_no_turn(message))


def _wants_digest(messages: Sequence[Message], session: Session) -> bool:
    if session.away_ms <= session.policy.away_after_ms or _is_request(messages[0]):
        return False
    waited = [each for each in messages if not starts_no_turn(each)]
    oldest_ms = min(message.created_at for message in waited)
    return len(waited) >= DIGEST_FROM or session.now - oldest_ms > DIGEST_AGE_MS


def _during_a_turn(messages: Sequence[Message], session: Session) -> DeliveryPlan:
    allowed = [
        each for each in messages if each.urgent and is_from(each, session.policy.urgent_from)
    ]
    can = session.abilities.interrupt and session.turn is not None
    if allowed and can:
        return DeliveryPlan.interrupt(reason=f"urgent from {allowed[0].from_}")
    refusal = _refusal(messages, allowed)
    users = session.turn is not None and session.turn.provenance is Provenance.USERS
    if _is_request(messages[0]) and not users:
        return DeliveryPlan.wait(_because(refusal, "a request waits for a turn of its own"))
    if _held_by_quiet(messages, session) >= QUIET_DIGEST_FROM:
        return DeliveryPlan.wait(_because(refusal, "a digest waits for a turn of its own"))
    strategy = strategy_for(messages[0], session.policy)
    if strategy == ADAPTIVE:
        if not is_from(messages[0], session.policy.steer_from):
            why = f"{messages[0].from_} is not in steer_from: waits for the end of the turn"
            return DeliveryPlan.wait(_because(refusal, why))
        return _steer(messages, session, refusal)
    if strategy == PATIENT:
        return DeliveryPlan.wait(_because(refusal, "patient: waits for the end of the turn"))
    known = ", ".join(STRATEGIES)
    return DeliveryPlan.wait(f"no plugin knows the strategy {strategy!r}; relay.delivery: {known}")


def _steer(messages: Sequence[Message], session: Session, refusal: str | None) -> DeliveryPlan:
    if session.activity is Activity.WAITING_FOR_USER:
        return DeliveryPlan.wait(_because(refusal, "the turn waits for the user"))
    if session.abilities.steer is Steering.NONE or session.turn is None:
        return DeliveryPlan.wait(_because(refusal, "this agent cannot be steered"))
    policy = session.policy
    together = takewhile(
        lambda each: strategy_for(each, policy) == ADAPTIVE and is_from(each, policy.steer_from),
        messages,
    )
    return DeliveryPlan.steer(take=sum(1 for _ in together), reason=refusal)


def _refusal(messages: Sequence[Message], allowed: Sequence[Message]) -> str | None:
    """Say why nothing urgent among these interrupts; None where nothing is urgent."""
    if allowed:
        return f"urgent from {allowed[0].from_}, but this agent cannot be interrupted"
    urgent = next((each for each in messages if each.urgent), None)
    if urgent is None:
        return None
    return f"urgent from {urgent.from_} is not in urgent_from: delivered as any other"


def _is_request(message: Message) -> bool:
    return message.type == REQUEST


def _of_the_user(message: Message) -> bool:
    return is_from(message, (OPERATOR,))


def _because(refusal: str | None, reason: str) -> str:
    return f"{refusal}; {reason}" if refusal else reason
