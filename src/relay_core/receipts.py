"""What became of a message at one recipient, in words for whoever sent it."""

# Rule: pure; the facts are the hub's, and the words are the same for people and for models.

from __future__ import annotations

from relay_core.delivery import CLAIMED_BY_OTHER
from relay_core.hub_api import MessageView
from relay_core.messages import (
    OPERATOR,
    AnswerState,
    ClaimState,
    Delivery,
    DeliveryState,
    RequestAnswer,
    TurnStatus,
)

READ = "read"
UNPROVED = "unproved"

_WAY = {
    DeliveryState.QUEUED: "waits for its session",
    DeliveryState.LEASED: "waits for its session, which has claimed it",
    DeliveryState.INJECTING: "on its way into its session",
    DeliveryState.UNCERTAIN: "on its way into its session, which has not shown it yet",
    DeliveryState.HELD: "held back",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.SKIPPED: "not for its session",
    DeliveryState.EXPIRED: "expired before it could be delivered",
    DeliveryState.CANCELLED: "taken back",
    DeliveryState.DEAD: "given up",
}
_TURN = {
    TurnStatus.COMPLETED: "its turn has ended",
    TurnStatus.INTERRUPTED: "its turn was interrupted",
    TurnStatus.FAILED: "its turn has failed",
}
_WORK = {
    ClaimState.OPEN: "its work is open",
    ClaimState.HELD: "has its work",
    ClaimState.DONE: "has done its work",
    ClaimState.FAILED: "could not do its work",
    ClaimState.DEAD: "its work was given up",
}
_SAID_BY_STATE = frozenset({"ttl", "cancelled"})
_WITHOUT_REASON = frozenset({DeliveryState.INJECTING, DeliveryState.UNCERTAIN})


def told_of(view: MessageView, delivery: Delivery) -> str:
    """Say where one delivery of a message stands, as a phrase without an end."""
    facts = [_way(delivery)]
    if delivery.turn_status is not None:
        facts.append(turn_words(delivery.turn_status))
    work = work_of(view, delivery)
    if work is not None:
        facts.append(work_words(work))
    if delivery.answer is not None:
        said = answer_words(delivery.answer)
        facts += [said] if said else []
    return "; ".join(facts)


def told_together(view: MessageView) -> tuple[str, ...]:
    """Say where all deliveries of a message stand, agents of which the same is true together."""
    agents: dict[str, list[str]] = {}
    for delivery in view.deliveries:
        agents.setdefault(told_of(view, delivery), []).append(delivery.agent_id)
    return tuple(f"{told}: {', '.join(ids)}" for told, ids in agents.items())


def work_of(view: MessageView, delivery: Delivery) -> ClaimState | None:
    """Where the work of a message stands at the recipient that has, or had, it."""
    return view.claim if view.claimed_by == delivery.agent_id else None


def turn_words(status: TurnStatus) -> str:
    """Say how the turn that carried a message ended."""
    return _TURN[status]


def work_words(state: ClaimState) -> str:
    """Say where the work stands at the agent that has it."""
    return _WORK[state]


def answer_words(answer: RequestAnswer) -> str:
    """Say what the recipient has answered; nothing where the delivery says all."""
    match answer.state:
        case AnswerState.ANSWERED:
            return f"answered by message {answer.reply_id}"
        case AnswerState.ENDED_WITHOUT_REPLY:
            why = f" ({answer.reason})" if answer.reason else ""
            return f"ended without a reply{why}"
        case AnswerState.WAITING:
            return "no answer yet"
        case AnswerState.NOT_DELIVERED:
            return ""


def _way(delivery: Delivery) -> str:
    state, reason = delivery.state, delivery.reason
    if state is DeliveryState.QUEUED and delivery.agent_id == OPERATOR:
        return "waits to be read"
    if state is DeliveryState.DELIVERED and reason == READ:
        return "read"
    if state is DeliveryState.DELIVERED and reason == UNPROVED:
        return "handed over, which its session cannot prove"
    if state is DeliveryState.SKIPPED and reason == CLAIMED_BY_OTHER:
        return "another agent has its work"
    said = _WAY[state]
    if reason and reason not in _SAID_BY_STATE and state not in _WITHOUT_REASON:
        said = f"{said} ({reason})"
    return f"{said}; away now" if delivery.away else said
