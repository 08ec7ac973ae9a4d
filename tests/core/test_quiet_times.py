"""When a quiet ends that was asked for by the clock, or by its length."""

import time
from collections.abc import Iterator
from datetime import datetime

import click
import pytest

from relay_cli.commands.quiet import next_time_ms, span_ms
from relay_cli.problems import Usage
from relay_cli.view import clock_time


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", str(request.param))
        time.tzset()
        yield
    time.tzset()


def shown(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("14:30", "2026-03-28 14:30:00"),
        ("9:05", "2026-03-29 09:05:00"),
        ("12:00", "2026-03-29 12:00:00"),
        ("00:00", "2026-03-29 00:00:00"),
    ],
)
def test_a_time_of_day_is_the_next_such_one_also_over_a_change_of_the_clock(text: str, end: str):
    now = datetime(2026, 3, 28, 12, 0, 7)  # noqa: DTZ001 - a clock here

    assert shown(next_time_ms(text, now)) == end


@pytest.mark.parametrize(
    "text", ["24:00", "12:60", "noon", "", "1200", "٣:٣٠", "12:00:00", "-1:00"]
)
def test_what_is_no_time_of_day_is_told(text: str):
    with pytest.raises(Usage, match="time of day"):
        next_time_ms(text, datetime(2026, 3, 28))  # noqa: DTZ001 - a clock here


@pytest.mark.parametrize(("text", "ms"), [("30m", 1_800_000), ("2h", 7_200_000), ("90s", 90_000)])
def test_a_length_has_its_unit(text: str, ms: int):
    assert span_ms(text) == ms


@pytest.mark.parametrize("text", ["30", "0m", "-1h", "h", "2 h", "1w", ""])
def test_what_is_no_length_is_told(text: str):
    with pytest.raises(click.BadParameter, match="no duration"):
        span_ms(text)


@pytest.mark.usefixtures("_zone")
def test_a_day_is_named_only_where_it_is_not_soon():
    now = datetime(2026, 3, 28, 12, 0)  # noqa: DTZ001 - a clock here
    now_ms = round(now.timestamp() * 1000)

    assert clock_time(now_ms + 3_600_000, now_ms) == "13:00"
    assert clock_time(now_ms + 3 * 86_400_000, now_ms).startswith("2026-03-31 ")
    assert clock_time(None, now_ms) == "-"
