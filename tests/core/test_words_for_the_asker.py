"""What the end of a turn says to the hub: which last words, and whether it was cut off."""

import pytest
from msgspec.structs import replace

from relay_core import AttemptId, Provenance, SessionTurnEnded, TurnStatus
from relay_core.turn_reports import ANSWER_LIMIT_BYTES, was_cut_off, words_for_the_asker

OWN = AttemptId("a" * 32)
OTHER = AttemptId("b" * 32)
ENDED = SessionTurnEnded(
    key="thread",
    turn_id="turn",
    status=TurnStatus.COMPLETED,
    provenance=Provenance.OURS,
    attempts=(OWN,),
    started_by=OWN,
    final_text="it is Sunday",
)


def test_the_last_words_of_a_turn_that_one_attempt_began_and_filled_are_for_its_sender():
    assert words_for_the_asker(OWN, ENDED) == "it is Sunday"


@pytest.mark.parametrize(
    "changed",
    [
        {"status": TurnStatus.INTERRUPTED},
        {"status": TurnStatus.FAILED},
        {"started_by": None},
        {"started_by": OTHER},
        {"attempts": (OWN, OTHER)},
        {"other_user_messages": True},
        {"final_text": None},
        {"final_text": "x" * (ANSWER_LIMIT_BYTES + 1)},
    ],
    ids=str,
)
def test_of_any_other_turn_they_are_for_nobody(changed: dict[str, object]):
    assert words_for_the_asker(OWN, replace(ENDED, **changed)) is None


@pytest.mark.parametrize(
    ("status", "by_us", "cut_off"),
    [
        (TurnStatus.COMPLETED, False, False),
        (TurnStatus.FAILED, False, True),
        (TurnStatus.INTERRUPTED, None, True),
        (TurnStatus.INTERRUPTED, False, False),
        (TurnStatus.INTERRUPTED, True, False),
    ],
)
def test_a_turn_is_cut_off_when_it_failed_or_nobody_watched_its_interruption(
    status: TurnStatus, *, by_us: bool | None, cut_off: bool
):
    assert was_cut_off(replace(ENDED, status=status, interrupted_by_us=by_us)) is cut_off
