"""How values are shown to people: times, lists, states."""

# Rule: pure.

from __future__ import annotations

from collections.abc import Iterable

NOTHING = "-"
_SECOND_MS = 1000
_STEPS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", _SECOND_MS))


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
    passed = max(0, now_ms - then_ms)
    for unit, size in _STEPS:
        if passed >= size:
            return f"{passed // size} {unit} ago"
    return "just now"


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
