"""How long to wait before trying again."""

from hypothesis import given
from hypothesis import strategies as st

from relay_core.retry import (
    CEILING_MS,
    FIRST_MS,
    RECONNECT_CEILING_MS,
    RECONNECT_FIRST_MS,
    delay_ms,
    reconnect_ms,
)

JITTER = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), JITTER)
def test_a_delay_stays_between_one_second_and_five_minutes(failures: int, jitter: float):
    assert FIRST_MS <= delay_ms(failures, jitter) <= CEILING_MS


@given(st.integers(1, 50), JITTER)
def test_with_the_same_luck_one_more_failure_never_waits_less(failures: int, jitter: float):
    assert delay_ms(failures, jitter) <= delay_ms(failures + 1, jitter)


def test_luck_spreads_a_delay_over_its_whole_range():
    assert delay_ms(3, 0.0) == FIRST_MS
    assert delay_ms(3, 0.999_999) > 60 * FIRST_MS


@given(st.integers(1, 1_000), st.floats(0, 1, exclude_max=True))
def test_a_hub_that_is_gone_is_asked_again_within_two_seconds(failures: int, jitter: float):
    assert RECONNECT_FIRST_MS <= reconnect_ms(failures, jitter) <= RECONNECT_CEILING_MS
