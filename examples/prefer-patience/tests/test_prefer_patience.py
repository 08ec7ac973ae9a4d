import pytest
from relay_prefer_patience import choose_delivery

from relay_core import Activity, AgentId, DeliveryPlan, Message, MessageId, Sender, Session


def session(activity: Activity) -> Session:
    return Session(
        id=AgentId("codex-shop-1"), adapter="codex", thread_id="t", now=0, activity=activity
    )


def messages(count: int, *, urgent: bool = False) -> list[Message]:
    return [
        Message(
            id=MessageId(number),
            from_=AgentId("builder"),
            to="codex-shop-1",
            body="the build is green",
            sender=Sender(id=AgentId("builder")),
            created_at=0,
            urgent=urgent,
        )
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("activity", [Activity.IN_TURN, Activity.WAITING_FOR_USER])
def test_a_running_turn_is_left_alone(activity: Activity):
    plan = choose_delivery(messages(1), session(activity))

    assert plan == DeliveryPlan.wait("prefer-patience: a turn runs")


def test_at_rest_three_at_most_come_together():
    plan = choose_delivery(messages(5), session(Activity.AT_REST))

    assert plan is not None
    assert plan.take == 3


def test_fewer_messages_and_other_moments_are_left_to_the_next_plugin():
    assert choose_delivery(messages(3), session(Activity.AT_REST)) is None
    assert choose_delivery(messages(9), session(Activity.AWAY)) is None


def test_what_is_urgent_is_left_to_the_next_plugin():
    assert choose_delivery(messages(1, urgent=True), session(Activity.IN_TURN)) is None
