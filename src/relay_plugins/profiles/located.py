"""JSON of which every value knows its line, and in which no key may stand twice."""

from __future__ import annotations

import json
import math
import re
from typing import NamedTuple, NoReturn, TypeAlias

MAX_DEPTH = 16

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


Value: TypeAlias = "str | int | float | bool | list[Located] | dict[str, Located] | None"


class Located(NamedTuple):
    """A value and the line (from 1) where it begins; in objects and lists everything is located."""

    value: Value
    line: int


class BadJson(ValueError):
    """Text that is no JSON, or says something twice."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def read(text: str) -> Located:
    """Read one JSON document; BadJson names the line of what is wrong."""
    reader = _Reader(text)
    document, end = reader.value(reader.skip(0), MAX_DEPTH)
    if end != len(text):
        reader.fail("there is more after the end", end)
    return document


def plain(located: Located) -> object:
    """Give the value without its lines."""
    value = located.value
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def fail(self, reason: str, at: int) -> NoReturn:
        raise BadJson(reason, self._line(at))

    def skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> tuple[Located, int]:
        """Read the value that begins at `at`; answers it and where the next thing begins."""
        found: Value
        if depth == 0:
            self.fail(f"nested more than {MAX_DEPTH} deep", at)
        match self._text[at : at + 1]:
            case "{":
                found, end = self._object(at + 1, depth)
            case "[":
                found, end = self._list(at + 1, depth)
            case '"':
                found, end = self._string(at)
            case "":
                self.fail("it ends too early", at)
            case _:
                found, end = self._scalar(at)
        return Located(found, self._line(at)), self.skip(end)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Located], int]:
        members: dict[str, Located] = {}
        at = self.skip(at)
        while self._text[at : at + 1] != "}":
            if members:
                at = self._expect(",", at)
            if self._text[at : at + 1] != '"':
                self.fail("expected a key in double quotes", at)
            key, end = self._string(at)
            if key in members:
                first = members[key].line
                self.fail(f"the key {key!r} stands here again, first in line {first}", at)
            members[key], at = self.value(self._expect(":", self.skip(end)), depth - 1)
        return members, at + 1

    def _list(self, at: int, depth: int) -> tuple[list[Located], int]:
        members: list[Located] = []
        at = self.skip(at)
        while self._text[at : at + 1] != "]":
            if members:
                at = self._expect(",", at)
            member, at = self.value(at, depth - 1)
            members.append(member)
        return members, at + 1

    def _string(self, at: int) -> tuple[str, int]:
        match = _STRING.match(self._text, at)
        if match is None:
            self.fail("a string without an end, or with a control character", at)
        try:
            found = str(json.loads(match[0]))
        except json.JSONDecodeError as error:
            self.fail(error.msg.lower(), at)
        if any("\ud800" <= char <= "\udfff" for char in found):
            self.fail("half of a surrogate pair", at)
        return found, match.end()

    def _scalar(self, at: int) -> tuple[float | bool | None, int]:
        for word, meaning in _WORDS.items():
            if self._text.startswith(word, at):
                return meaning, at + len(word)
        match = _NUMBER.match(self._text, at)
        if match is None:
            self.fail(f"{self._text[at : at + 10].split()[0]!r} is no JSON value", at)
        number = (float if match[1] or match[2] else int)(match[0])
        if isinstance(number, float) and math.isinf(number):
            self.fail(f"{match[0]} is too large", at)
        return number, match.end()

    def _expect(self, sign: str, at: int) -> int:
        if self._text[at : at + 1] != sign:
            self.fail(f"expected {sign!r}", at)
        return self.skip(at + 1)

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1
