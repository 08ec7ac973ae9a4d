"""What a tail tells of a delivery that it looks at again."""

from typing import Any

import pytest

from relay_cli.tailing import QUEUED, Fact, standing_of, steps_since
from relay_core.messages import (
    AgentId,
    AnswerState,
    ClaimState,
    Delivery,
    DeliveryId,
    DeliveryState,
    MessageId,
    RequestAnswer,
    TurnStatus,
)

S = DeliveryState
WAITING = RequestAnswer(state=AnswerState.WAITING)
ANSWERED = RequestAnswer(state=AnswerState.ANSWERED, reply_id=MessageId(2))


def delivery(state: DeliveryState, **fields: Any) -> Delivery:
    return Delivery(
        id=DeliveryId(1), message_id=MessageId(1), agent_id=AgentId("a"), seq=1, state=state,
        **fields,
    )  # fmt: skip


def told(former: Delivery | None, now: Delivery) -> list[tuple[str, str | None]]:
    standing = QUEUED if former is None else standing_of(former)
    return [(each.fact.value, each.delivery.turn_status) for each in steps_since(standing, now)]


@pytest.mark.parametrize("state", [S.QUEUED, S.LEASED, S.INJECTING])
def test_what_only_passes_is_not_told(state: DeliveryState):
    assert told(None, delivery(state)) == []


@pytest.mark.parametrize(
    "state", [S.DELIVERED, S.HELD, S.SKIPPED, S.UNCERTAIN, S.EXPIRED, S.CANCELLED, S.DEAD]
)
def test_what_matters_is_told_once(state: DeliveryState):
    now = delivery(state, reason="why")

    assert told(None, now) == [("delivery", None)]
    assert told(now, now) == []


def test_another_reason_is_told_again():
    assert told(delivery(S.HELD, reason="quiet"), delivery(S.HELD, reason="lunch")) != []


def test_a_turn_that_ended_before_anybody_looked_was_delivered_first():
    ended = delivery(S.DELIVERED, turn_status=TurnStatus.COMPLETED)

    assert told(None, ended) == [("delivery", None), ("turn", "completed")]
    assert told(delivery(S.DELIVERED), ended) == [("turn", "completed")]


def test_an_answer_is_told_once_whether_the_turn_has_ended_or_not():
    waits = delivery(S.DELIVERED, answer=WAITING)
    answered = delivery(S.DELIVERED, answer=ANSWERED)
    ended = delivery(S.DELIVERED, answer=ANSWERED, turn_status=TurnStatus.COMPLETED)

    assert told(None, waits) == [("delivery", None)]
    assert told(waits, answered) == [("answer", None)]
    assert told(answered, ended) == [("turn", "completed")]


def test_that_a_turn_ended_without_a_reply_is_told():
    left = RequestAnswer(state=AnswerState.ENDED_WITHOUT_REPLY, reason="joined_a_turn")
    ended = delivery(S.DELIVERED, answer=left, turn_status=TurnStatus.COMPLETED)

    assert [fact for fact, _ in told(delivery(S.DELIVERED), ended)] == ["turn", "answer"]


@pytest.mark.parametrize(
    ("former", "now", "shown"),
    [
        (None, ClaimState.HELD, ClaimState.HELD),
        (ClaimState.HELD, ClaimState.DONE, ClaimState.DONE),
        (ClaimState.HELD, None, ClaimState.OPEN),
    ],
)
def test_work_that_changes_hands_is_told_at_who_has_or_had_it(
    former: ClaimState | None, now: ClaimState | None, shown: ClaimState
):
    row = delivery(S.LEASED)
    (step,) = steps_since(standing_of(row, former), row, now)

    assert (step.fact, step.claim) == (Fact.WORK, shown)
