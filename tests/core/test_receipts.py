"""What became of a message, in words for whoever sent it."""

from typing import Any

import msgspec
import pytest

from relay_core.hub_api import MessageView
from relay_core.messages import (
    OPERATOR,
    AgentId,
    AnswerState,
    ClaimState,
    Delivery,
    DeliveryId,
    DeliveryState,
    MessageId,
    RequestAnswer,
    Sender,
    TurnStatus,
)
from relay_core.receipts import told_of, told_together

S = DeliveryState
A = AgentId("a")
INTERRUPTED = {"turn_status": TurnStatus.INTERRUPTED}


def delivery(state: DeliveryState, agent: str = A, **fields: Any) -> Delivery:
    return Delivery(
        id=DeliveryId(1), message_id=MessageId(1), agent_id=AgentId(agent), seq=1, state=state,
        **fields,
    )  # fmt: skip


def view(*deliveries: Delivery, **fields: Any) -> MessageView:
    return MessageView(
        id=MessageId(1), from_=OPERATOR, to="a", body="b", sender=Sender(id=OPERATOR),
        created_at=0, deliveries=deliveries, **fields,
    )  # fmt: skip


def told(state: DeliveryState, **fields: Any) -> str:
    row = delivery(state, **fields)
    return told_of(view(row), row)


@pytest.mark.parametrize("state", DeliveryState)
def test_every_state_has_words_without_a_reason_and_with_one(state: DeliveryState):
    assert told(state)
    assert "None" not in told(state)
    assert "; away now" in told(state, away=True)


@pytest.mark.parametrize(
    ("words", "state", "fields"),
    [
        ("waits for its session", S.QUEUED, {"away": False}),
        ("waits for its session; away now", S.QUEUED, {"away": True}),
        ("waits for its session (absent)", S.QUEUED, {"reason": "absent"}),
        ("held back (quiet)", S.HELD, {"reason": "quiet"}),
        ("not for its session (channel)", S.SKIPPED, {"reason": "channel"}),
        ("another agent has its work", S.SKIPPED, {"reason": "claimed_by_other"}),
        ("delivered", S.DELIVERED, {}),
        ("handed over, which its session cannot prove", S.DELIVERED, {"reason": "unproved"}),
        ("read", S.DELIVERED, {"reason": "read"}),
        ("expired before it could be delivered", S.EXPIRED, {"reason": "ttl"}),
        ("taken back", S.CANCELLED, {"reason": "cancelled"}),
        ("given up (poison)", S.DEAD, {"reason": "poison"}),
        ("delivered; its turn was interrupted", S.DELIVERED, INTERRUPTED),
    ],
)
def test_it_says_where_the_message_is(words: str, state: DeliveryState, fields: dict[str, Any]):
    assert told(state, **fields) == words


def test_what_waits_for_the_operator_waits_to_be_read():
    row = delivery(S.QUEUED, OPERATOR)

    assert told_of(view(row), row) == "waits to be read"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (AnswerState.WAITING, "no answer yet"),
        (AnswerState.ANSWERED, "answered by message 7"),
        (AnswerState.ENDED_WITHOUT_REPLY, "ended without a reply (joined_a_turn)"),
    ],
)
def test_of_a_request_it_says_what_was_answered(state: AnswerState, words: str):
    reply, reason = (7, None) if state is AnswerState.ANSWERED else (None, "joined_a_turn")
    answer = RequestAnswer(state=state, reply_id=reply and MessageId(reply), reason=reason)

    assert told(S.DELIVERED, answer=answer) == f"delivered; {words}"


def test_a_request_that_was_not_delivered_says_so_once():
    answer = RequestAnswer(state=AnswerState.NOT_DELIVERED, reason="poison")

    assert told(S.DEAD, reason="poison", answer=answer) == "given up (poison)"


@pytest.mark.parametrize("state", ClaimState)
def test_of_work_it_says_where_it_stands_at_who_has_it_alone(state: ClaimState):
    rows = delivery(S.DELIVERED), delivery(S.DELIVERED, "b")
    shown = view(*rows, claimable=True, claim=state, claimed_by=A)

    assert told_of(shown, rows[0]).startswith("delivered; ")
    assert told_of(shown, rows[1]) == "delivered"


def test_agents_of_which_the_same_is_true_stand_together():
    rows = [delivery(S.DELIVERED, name) for name in "ab"]
    away = msgspec.structs.replace(delivery(S.QUEUED, "c"), away=True)

    assert told_together(view(*rows, away)) == (
        "delivered: a, b",
        "waits for its session; away now: c",
    )
