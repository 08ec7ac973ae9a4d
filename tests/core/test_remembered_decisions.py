"""What a session remembers of its plugins' answers: the last of each, about the newest messages."""

from types import SimpleNamespace

import msgspec
import pytest

from relay_core import Activity, DeliveryPlan, MessageId, SessionSeen
from relay_core.answers import Answers
from relay_core.seat import DECISIONS_KEPT, TRACES_KEPT, Seams, Seat, SidecarSettings


@pytest.fixture
def seat() -> Seat:
    seen = SessionSeen(key="k", thread_id="t", cwd="/w", provider="p", activity=Activity.AT_REST)
    nothing = SimpleNamespace(token_hex=lambda _: "0", now_ms=lambda: 0)
    seams = Seams(
        adapter=nothing,
        hub=nothing,
        hooks=nothing,
        clock=nothing,
        random=nothing,
        failpoint=nothing,
    )
    return Seat(seen, seams, SidecarSettings())


def waiting(plugin: str, reason: str) -> Answers:
    plan = DeliveryPlan.wait(reason)
    return Answers("choose_delivery", [(plugin, plan)], plan)


def reasons(seat: Seat, number: int = 1) -> list[tuple[str, str]]:
    return [
        (each.plugin, msgspec.json.decode(each.answer)["reason"])
        for each in seat.decisions(MessageId(number))
    ]


@pytest.mark.parametrize("often", [1, TRACES_KEPT, TRACES_KEPT + 1, 3 * TRACES_KEPT])
def test_however_often_it_is_asked_each_plugin_s_last_answer_is_kept(seat: Seat, often: int):
    seat.remember(MessageId(1), waiting("early", "busy"))
    for turn in range(often):
        seat.remember(MessageId(1), waiting("late", f"busy {turn}"))

    assert reasons(seat) == [("early", "busy"), ("late", f"busy {often - 1}")]


def test_the_oldest_messages_are_forgotten(seat: Seat):
    for number in range(1, DECISIONS_KEPT + 2):
        seat.remember(MessageId(number), waiting("a", "busy"))

    assert reasons(seat, 1) == []
    assert reasons(seat, 2) == [("a", "busy")]


def test_of_a_message_that_waits_long_only_so_much_is_kept(seat: Seat):
    for _ in range(100 * TRACES_KEPT):
        seat.remember(MessageId(1), waiting("a", "busy"))

    assert len(seat._decisions[MessageId(1)]) <= TRACES_KEPT
