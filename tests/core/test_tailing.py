"""What a tail tells of a delivery that it looks at again."""

from typing import Any

import pytest

from relay_cli.tailing import QUEUED, standing_of, steps_since
from relay_core.messages import AgentId, Delivery, DeliveryId, DeliveryState, MessageId, TurnStatus

S = DeliveryState


def delivery(state: DeliveryState, **fields: Any) -> Delivery:
    return Delivery(
        id=DeliveryId(1), message_id=MessageId(1), agent_id=AgentId("a"), seq=1, state=state,
        **fields,
    )  # fmt: skip


def told(former: Delivery | None, now: Delivery) -> list[tuple[str, str | None]]:
    standing = QUEUED if former is None else standing_of(former)
    return [(each.state.value, each.turn_status) for each in steps_since(standing, now)]


@pytest.mark.parametrize("state", [S.QUEUED, S.LEASED, S.INJECTING])
def test_what_only_passes_is_not_told(state: DeliveryState):
    assert told(None, delivery(state)) == []


@pytest.mark.parametrize(
    "state", [S.DELIVERED, S.HELD, S.SKIPPED, S.UNCERTAIN, S.EXPIRED, S.CANCELLED, S.DEAD]
)
def test_what_matters_is_told_once(state: DeliveryState):
    now = delivery(state, reason="why")

    assert told(None, now) == [(state.value, None)]
    assert told(now, now) == []


def test_another_reason_is_told_again():
    assert told(delivery(S.HELD, reason="quiet"), delivery(S.HELD, reason="lunch")) != []


def test_a_turn_that_ended_before_anybody_looked_was_delivered_first():
    ended = delivery(S.DELIVERED, turn_status=TurnStatus.COMPLETED)

    assert told(None, ended) == [("delivered", None), ("delivered", "completed")]
    assert told(delivery(S.DELIVERED), ended) == [("delivered", "completed")]
