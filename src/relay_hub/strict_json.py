"""What a body must be before anything looks at it: bounded JSON that means one thing only.

Syntax, UTF-8 and surrogate pairs are checked by the decoder of the body's type; here is what a
decoder lets through: duplicate keys, numbers that others cannot hold, and sheer depth or number.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TypeAlias

from relay_hub.limits import Limits

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

LARGEST_INT = 2**53 - 1
_LONGEST_INT = len(str(LARGEST_INT)) + 1
_MARKS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)


class BadJson(Exception):
    """The body is no JSON that the hub takes; the message is one line."""


class StrictJson:
    """Checks bodies against the limits of one hub."""

    def __init__(self, limits: Limits) -> None:
        self._depth = limits.json_depth
        self._items = limits.json_items
        # Made once: a decoder with hooks costs as much to make as a small body to read.
        self._decode = json.JSONDecoder(
            object_pairs_hook=partial(_object, limits.json_keys),
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_constant,
        ).decode

    def check(self, data: bytes) -> None:
        """Raise BadJson where a body is not acceptable JSON."""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise BadJson("the body is not UTF-8") from error
        if text.count("{") + text.count("[") > self._depth:
            _check_depth(text, self._depth)
        try:
            found: Json = self._decode(text)
        except (ValueError, RecursionError) as error:
            raise BadJson(f"the body is no JSON: {error}") from error
        if text.count(",") >= self._items:  # one less than the items
            _check_items(found, self._items)


def _check_depth(text: str, most: int) -> None:
    depth = 0
    for mark in _MARKS.finditer(text):
        if mark[1]:
            depth += 1
            if depth > most:
                raise BadJson(f"the body is nested deeper than {most}")
        elif mark[2]:
            depth -= 1


def _object(most: int, pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a key is there twice")
    if len(pairs) > most:
        raise BadJson(f"an object has more than {most} keys")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INT or abs(number := int(digits)) > LARGEST_INT:
        raise BadJson("a number is larger than 2^53 - 1")
    return number


def _real(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BadJson("a number is too large")
    return number


def _constant(name: str) -> float:
    raise BadJson(f"{name} is no JSON")


def _check_items(found: Json, most: int) -> None:
    waiting: list[Json] = [found]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            if len(each) > most:
                raise BadJson(f"a list has more than {most} items")
            waiting.extend(each)
