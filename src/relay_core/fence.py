"""The fence round every peer's text, so that it can never look like the user's or like ours.

Each message of a prompt stands between two lines that carry the same random id. Header values are
JSON strings on one line; every line of the body is prefixed; characters that could move a terminal,
hide or reorder text are made visible. What is inside can therefore not close the fence, forge a
header or add a message. `parse` reads back exactly what `fenced` was given.
"""

# Rule: pure. The fence's id comes in as an argument; it must be unguessable (128 random bits).

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import msgspec

from relay_core.errors import WireError
from relay_core.messages import MessageId, Part, Prompt

OPEN = "┌─ relay message"
CLOSE = "└─ end of relay message"
BAR = "│ "
_BARE_BAR = BAR.rstrip()
_NEXT_LINE = f"\n{BAR}"
_ENCODER = msgspec.json.Encoder()
_NAME = re.compile(r"[A-Za-z][A-Za-z -]{0,39}")
_VISIBLE = re.compile(r"⟦U\+([0-9A-F]{4,6})⟧")
_PLAIN = b"\n\t" + bytes(range(0x20, 0x7F))
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def fence(prompt: Prompt, fence_id: str) -> str:
    """Render a prompt: its header, each part inside the fence, its footer."""
    # One look at all the text tells of nearly every prompt that there is nothing to make visible.
    shown: Callable[[str], str] = str if _is_plain(_all_text(prompt)) else visible
    blocks = [shown(prompt.header)] if prompt.header else []
    blocks += [_fenced(part, fence_id, shown) for part in prompt.parts]
    if prompt.footer:
        blocks.append(shown(prompt.footer))
    return "\n\n".join(blocks)


def check_names(prompt: Prompt) -> None:
    """Refuse a prompt with a header name that cannot stand in a fence: WireError."""
    for part in prompt.parts:
        for name, _ in part.header:
            _label(name)


def parse(text: str, fence_id: str) -> tuple[Part, ...]:
    """Read back the parts that were rendered with this fence; WireError where it is broken."""
    parts: list[Part] = []
    block: list[str] | None = None
    opening, closing = f"{OPEN} {fence_id} ", f"{CLOSE} {fence_id}"
    number = 0
    for line in text.split("\n"):
        if block is None:
            if line.startswith(opening):
                block, number = [], _number(line.removeprefix(opening))
        elif line == closing:
            parts.append(_part(number, block))
            block = None
        elif line.startswith(_BARE_BAR):
            block.append(line.removeprefix(BAR) if line.startswith(BAR) else "")
        else:
            raise WireError("a line inside the fence has no bar")
    if block is not None:
        raise WireError("the fence was never closed")
    return tuple(parts)


def visible(text: str) -> str:
    """Replace every control, format and private character but newline and tab by its name."""
    if _is_plain(text):
        return text
    # Each different character is looked up once.
    return text.translate({ord(char): _name(char) for char in set(text) if _is_hidden(char)})


def _is_plain(text: str) -> bool:
    """Tell of nearly all text without such a character that it has none."""
    # Most text is ASCII, which is looked through fastest as bytes; what is printable holds no such
    # character either.
    if text.isascii():
        return not text.encode().translate(None, _PLAIN)
    return "⟦" not in text and text.replace("\n", "").replace("\t", "").isprintable()


def _all_text(prompt: Prompt) -> str:
    texts = [prompt.header or "", prompt.footer or ""]
    for part in prompt.parts:
        texts.append(part.body)
        texts += [value for _, value in part.header]
    return "".join(texts)


def _is_hidden(char: str) -> bool:
    if char in "\n\t":
        return False
    return char == "⟦" or unicodedata.category(char) in _HIDDEN_CATEGORIES


def _name(char: str) -> str:
    return f"⟦U+{ord(char):04X}⟧"


def _hidden(text: str) -> str:
    return _VISIBLE.sub(lambda match: chr(int(match[1], 16)), text)


def _fenced(part: Part, fence_id: str, shown: Callable[[str], str]) -> str:
    # JSON keeps a value on its line: an escaped newline stays one.
    fields = "".join(
        [f"{_label(name)}{_ENCODER.encode(value).decode()}\n" for name, value in part.header]
    )
    body = shown(part.body).replace("\n", _NEXT_LINE)
    return (
        f"{OPEN} {fence_id} {part.message_id}\n{shown(fields)}{_BARE_BAR}\n"
        f"{BAR}{body}\n{CLOSE} {fence_id}"
    )


@lru_cache(maxsize=256)  # prompts have the same few names again and again
def _label(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise WireError(f"{name!r} is no header name")
    return f"{BAR}{name}: "


def _part(number: int, block: list[str]) -> Part:
    if "" not in block:
        raise WireError("a fenced message has no line between header and body")
    gap = block.index("")
    header = tuple(_field(line) for line in block[:gap])
    body = _hidden("\n".join(block[gap + 1 :]))
    return Part(message_id=MessageId(number), header=header, body=body)


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(": ")
    if not colon:
        raise WireError("a header line has no colon")
    try:
        return name, msgspec.json.decode(_hidden(value), type=str)
    except msgspec.MsgspecError as error:
        raise WireError("a header's value is no string") from error


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise WireError("a fenced message has no number")
    return int(text)
