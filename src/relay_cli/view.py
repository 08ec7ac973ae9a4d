"""How values are shown to people: times, lists, states."""

# Rule: pure, but for the time zone.

from __future__ import annotations

import time
from collections.abc import Iterable

NOTHING = "-"
_SECOND_MS = 1000
_DAY_MS = 86_400_000
_STEPS = (("d", _DAY_MS), ("h", 3_600_000), ("min", 60_000), ("s", _SECOND_MS))


def words(values: Iterable[str]) -> str:
    """Show a list on one line."""
    return ",".join(values) or NOTHING


def yes_no(value: bool) -> str:
    """Show a fact that is true or not."""
    return "yes" if value else "no"


def ago(then_ms: int | None, now_ms: int) -> str:
    """Show how long ago something was, in one unit."""
    if then_ms is None:
        return NOTHING
    passed = _span(now_ms - then_ms)
    return "just now" if passed is None else f"{passed} ago"


def left(until_ms: int | None, now_ms: int) -> str:
    """Show how long something still lasts, in one unit."""
    if until_ms is None:
        return NOTHING
    remaining = _span(until_ms - now_ms)
    return "ending" if remaining is None else f"{remaining} left"


def _span(ms: int) -> str | None:
    for unit, size in _STEPS:
        if ms >= size:
            return f"{ms // size} {unit}"
    return None


def clock_time(at_ms: int | None, now_ms: int) -> str:
    """Show when something will be, by the clock here: the time, with the date if that is far."""
    if at_ms is None:
        return NOTHING
    far = at_ms - now_ms >= _DAY_MS
    return time.strftime("%Y-%m-%d %H:%M" if far else "%H:%M", time.localtime(at_ms / _SECOND_MS))


def ahead(then_ms: int, now_ms: int) -> str:
    """Show how far ahead something is, in one unit, rounded up."""
    left = max(0, then_ms - now_ms)
    for unit, size in _STEPS:
        if left >= size:
            return f"in {-(-left // size)} {unit}"
    return "now"


def shortened(text: str, length: int) -> str:
    """Show the first line of a text, cut to a length."""
    first = text.split("\n", 1)[0]
    if first == text and len(text) <= length:
        return text
    return first[: length - 1] + "…"
