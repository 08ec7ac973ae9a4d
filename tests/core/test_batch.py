"""Which deliveries may go next, and in which order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core import ACK, REQUEST, AttemptId, Credential, DeliveryState, Offer
from relay_core.batch import next_batch
from relay_core.delivery import IN_DOUBT, WAITING
from values import NOW_MS, offer

LATER = NOW_MS + 5_000


def numbers(offers: tuple[Offer, ...]) -> list[int]:
    return [each.delivery.seq for each in offers]


def test_what_waits_goes_together_in_the_order_of_the_hub():
    offers = [offer(3, "b"), offer(1, "a"), offer(2, "b")]

    assert numbers(next_batch(offers, NOW_MS).offers) == [1, 2, 3]


def test_nothing_waits_where_there_is_nothing():
    batch = next_batch([], NOW_MS)

    assert batch.offers == ()
    assert batch.wake_at_ms is None


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
def test_one_in_doubt_blocks_the_later_ones_of_its_sender_alone(state: DeliveryState):
    doubtful = offer(1, "a", state=state, attempt_id=AttemptId("f" * 32))
    batch = next_batch([doubtful, offer(2, "a"), offer(3, "b")], NOW_MS)

    assert numbers(batch.offers) == [3]


def test_one_that_waits_for_a_retry_blocks_its_sender_and_says_when():
    batch = next_batch([offer(1, "a", not_before_ms=LATER), offer(2, "a"), offer(3, "b")], NOW_MS)

    assert numbers(batch.offers) == [3]
    assert batch.wake_at_ms == LATER
    assert batch.wake_at_ms is not None


def test_a_retry_whose_time_has_come_blocks_nobody():
    batch = next_batch([offer(1, "a", not_before_ms=LATER), offer(2, "a")], LATER)

    assert numbers(batch.offers) == [1, 2]
    assert batch.wake_at_ms is None


@pytest.mark.parametrize("state", sorted(set(DeliveryState) - IN_DOUBT - WAITING))
def test_one_that_is_held_or_done_blocks_nobody(state: DeliveryState):
    batch = next_batch([offer(1, "a", state=state), offer(2, "a")], NOW_MS)

    assert numbers(batch.offers) == [2]


def test_one_that_an_agent_crashed_on_goes_alone():
    offers = [offer(1), offer(2, strikes=1), offer(3)]

    assert numbers(next_batch(offers, NOW_MS).offers) == [1]
    assert numbers(next_batch(offers[1:], NOW_MS).offers) == [2]


def test_a_batch_has_a_most():
    batch = next_batch([offer(number) for number in range(1, 9)], NOW_MS, most=3)

    assert numbers(batch.offers) == [1, 2, 3]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(list(DeliveryState)),
            st.sampled_from([0, LATER]),
            st.integers(0, 1),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_no_sender_is_ever_overtaken_by_itself(
    rows: list[tuple[str, DeliveryState, int, int]], shuffle: random.Random
):
    offers = [
        offer(number, sender, state=state, not_before_ms=at_ms, strikes=strikes)
        for number, (sender, state, at_ms, strikes) in enumerate(rows, start=1)
    ]
    shuffled = list(offers)
    shuffle.shuffle(shuffled)
    batch = next_batch(shuffled, NOW_MS)
    gone = set(numbers(batch.offers))

    assert numbers(batch.offers) == sorted(gone)
    for taken in batch.offers:
        assert taken.delivery.state in WAITING
        earlier = [
            each
            for each in offers
            if each.message.from_ == taken.message.from_ and each.delivery.seq < taken.delivery.seq
        ]
        blocking = [each for each in earlier if each.delivery.state in WAITING | IN_DOUBT]
        assert {each.delivery.seq for each in blocking} <= gone


def test_a_request_goes_alone_after_what_came_before_it():
    offers = [offer(1, "a"), offer(2, "b", kind="request"), offer(3, "a")]

    assert numbers(next_batch(offers, NOW_MS).offers) == [1]
    assert numbers(next_batch(offers[1:], NOW_MS).offers) == [2]
    assert numbers(next_batch(offers[2:], NOW_MS).offers) == [3]


# What starts no turn -----------------------------------------------------------------------------


def test_what_starts_no_turn_waits_for_others_and_blocks_nobody():
    alone = next_batch([offer(1, "a", kind=ACK), offer(2, "b", kind=ACK)], NOW_MS)
    together = next_batch([offer(1, "a", kind=ACK), offer(2, "a"), offer(3, "b")], NOW_MS)

    assert (numbers(alone.offers), numbers(alone.along)) == ([], [1, 2])
    assert numbers(together.offers) == [2, 3, 1], "last, so that no plan takes it alone"


def test_what_starts_no_turn_goes_with_nothing_that_goes_alone():
    request = [offer(1, "a", kind=ACK), offer(2, "b", kind=REQUEST), offer(3, "b")]
    struck = [offer(1, "a", kind=ACK), offer(2, "b", strikes=1)]

    assert numbers(next_batch(request, NOW_MS).offers) == [2]
    assert numbers(next_batch(struck, NOW_MS).offers) == [2]


def test_what_starts_no_turn_and_is_tried_again_later_blocks_nobody():
    batch = next_batch([offer(1, "a", kind=ACK, not_before_ms=LATER), offer(2, "a")], NOW_MS)

    assert numbers(batch.offers) == [2]
    assert batch.wake_at_ms is None


# Turns for others --------------------------------------------------------------------------------


def test_while_turns_for_others_are_spent_only_the_users_mail_goes():
    of_agents = [offer(1, "a", by=Credential.AGENT), offer(3, "hub", by=Credential.AGENT)]
    batch = next_batch([*of_agents, offer(2, "operator")], NOW_MS, turns_from_ms=LATER)
    later = next_batch(of_agents, LATER, turns_from_ms=LATER)

    assert numbers(batch.offers) == [2]
    assert batch.turns_from_ms == LATER
    assert numbers(later.offers) == [1, 3]
    assert later.turns_from_ms is None


def test_where_nothing_waits_for_turns_nobody_is_told_of_them():
    batch = next_batch([offer(1, "operator")], NOW_MS, turns_from_ms=LATER)

    assert batch.turns_from_ms is None
