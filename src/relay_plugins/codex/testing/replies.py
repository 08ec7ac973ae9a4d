"""What the stub model can be told to do with one request."""

from __future__ import annotations

import re
import threading
from typing import TypeAlias

import msgspec

DEFAULT_TEXT = "Understood."


class Say(msgspec.Struct, frozen=True):
    """Answers with `text` at once."""

    text: str = DEFAULT_TEXT


class Slow(msgspec.Struct, frozen=True):
    """Answers with `deltas` pieces of text, each followed by `gap_s` seconds of silence."""

    deltas: int = 20
    gap_s: float = 0.25


class Late(msgspec.Struct, frozen=True):
    """Sends nothing, not even headers, for `delay_s` seconds; then answers."""

    delay_s: float = 3.0
    text: str = DEFAULT_TEXT


class Until(msgspec.Struct, frozen=True):
    """Begins to answer, and ends the answer when the test sets `gate`: a turn of known length."""

    gate: threading.Event
    text: str = DEFAULT_TEXT


class ShellCall(msgspec.Struct, frozen=True):
    """Calls whichever shell tool Codex offers; `escalate` asks to leave the sandbox."""

    command: str
    escalate: bool = False


class ToolCall(msgspec.Struct, frozen=True):
    """Calls the function `name`; `arguments` is a JSON object as text.

    `namespace` is set for tools that Codex offers in a namespace, such as those of an MCP server.
    """

    name: str
    arguments: str = "{}"
    namespace: str | None = None


class Fail(msgspec.Struct, frozen=True):
    """Ends the stream with `response.failed`; not retried where `code` says that it is useless."""

    code: str = "context_length_exceeded"
    message: str = "the stub model was told to fail"


class HttpError(msgspec.Struct, frozen=True):
    """Answers with an HTTP error status and no stream."""

    status: int = 500
    message: str = "the stub model was told to refuse"


class Drop(msgspec.Struct, frozen=True):
    """Sends half an answer, then closes the connection."""


class Hang(msgspec.Struct, frozen=True):
    """Opens the stream, then says nothing until the client goes away or the stub stops."""


Reply: TypeAlias = Say | Slow | Late | Until | ShellCall | ToolCall | Fail | HttpError | Drop | Hang

# Whatever stands before it on its line may be the prefix of a fenced body, never a word.
_DIRECTIVE = re.compile(r"^\W*stub: (?P<verb>[a-z]+)(?: (?P<rest>.*))?$", re.MULTILINE)


class BadDirective(Exception):
    """A line `stub: …` that says nothing the stub model can do; `line` is that line."""

    def __init__(self, line: str) -> None:
        super().__init__(f"not a directive of the stub model: {line!r}")
        self.line = line


def directive(text: str) -> Reply | None:
    """Read the first line of `text` of the form ``stub: VERB …``; None where there is none.

    The verbs: ``say TEXT``, ``slow DELTAS SECONDS``, ``late SECONDS``, ``shell COMMAND``,
    ``escalate COMMAND``, ``call NAME JSON``, ``fail CODE MESSAGE``, ``http STATUS``, ``drop``,
    ``hang``. What follows the verb may be left out where the reply has a default for it.
    Raises BadDirective for another verb or an argument that is no number.
    """
    found = _DIRECTIVE.search(text)
    if found is None:
        return None
    try:
        return _reply(found["verb"], (found["rest"] or "").strip())
    except (KeyError, TypeError, ValueError) as error:
        raise BadDirective(found[0]) from error


def _reply(verb: str, rest: str) -> Reply:
    words = rest.split()
    head, _, tail = rest.partition(" ")
    match verb:
        case "say":
            return Say(rest) if rest else Say()
        case "slow":
            return Slow(*map(int, words[:1]), *map(float, words[1:2]))
        case "late":
            return Late(float(head)) if head else Late()
        case "shell" | "escalate" if rest:
            return ShellCall(rest, escalate=verb == "escalate")
        case "call" if head:
            return ToolCall(head, tail.strip() or "{}")
        case "fail":
            return Fail(*filter(None, (head, tail)))
        case "http":
            return HttpError(int(head)) if head else HttpError()
        case "drop":
            return Drop()
        case "hang":
            return Hang()
        case _:
            raise KeyError(verb)
