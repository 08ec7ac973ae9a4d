"""A reply as the steps of a Responses API stream; no I/O, no clock.

The events are the ones that Codex 0.163 and 0.169 were seen to need: created, output item added,
text delta, output item done, completed or failed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from relay_plugins.codex.testing.recorded import Request
from relay_plugins.codex.testing.replies import (
    Drop,
    Fail,
    Hang,
    HttpError,
    Late,
    Reply,
    Say,
    ShellCall,
    Slow,
    ToolCall,
    Until,
)


class OutputText(msgspec.Struct, frozen=True, tag="output_text", tag_field="type"):
    text: str
    annotations: tuple[str, ...] = ()


class MessageItem(msgspec.Struct, frozen=True, tag="message", tag_field="type"):
    id: str
    status: str
    content: tuple[OutputText, ...] = ()
    role: str = "assistant"


class FunctionCall(
    msgspec.Struct, frozen=True, tag="function_call", tag_field="type", omit_defaults=True
):
    id: str
    call_id: str
    name: str
    arguments: str
    status: str
    namespace: str | None = None


OutputItem: TypeAlias = MessageItem | FunctionCall


class InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int = 0


class OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Made up: the stub counts no tokens, and Codex compacts a thread whose usage grows."""

    input_tokens: int = 10
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int = 5
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int = 15


class Failure(msgspec.Struct, frozen=True):
    code: str
    message: str


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    created_at: int
    model: str
    status: str
    output: tuple[OutputItem, ...]
    error: Failure | None = None
    usage: Usage | None = None


class Created(msgspec.Struct, frozen=True, tag="response.created", tag_field="type"):
    response: Response


class ItemAdded(msgspec.Struct, frozen=True, tag="response.output_item.added", tag_field="type"):
    item: OutputItem
    output_index: int = 0


class TextDelta(msgspec.Struct, frozen=True, tag="response.output_text.delta", tag_field="type"):
    item_id: str
    delta: str
    output_index: int = 0
    content_index: int = 0


class ItemDone(msgspec.Struct, frozen=True, tag="response.output_item.done", tag_field="type"):
    item: OutputItem
    output_index: int = 0


class Completed(msgspec.Struct, frozen=True, tag="response.completed", tag_field="type"):
    response: Response


class Failed(msgspec.Struct, frozen=True, tag="response.failed", tag_field="type"):
    response: Response


Event: TypeAlias = Created | ItemAdded | TextDelta | ItemDone | Completed | Failed


class Pause(msgspec.Struct, frozen=True):
    """Send nothing for this long."""

    seconds: float


class WaitFor(msgspec.Struct, frozen=True):
    """Send nothing until the gate is set; for ever where there is none."""

    gate: threading.Event | None = None


class Cut(msgspec.Struct, frozen=True):
    """Close the connection without an end of the stream."""


Step: TypeAlias = Event | Pause | WaitFor | Cut


def encode(event: Event) -> bytes:
    """Write one event as a server-sent event."""
    name = str(type(event).__struct_config__.tag)
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))


def steps(reply: Reply, request: Request, *, identity: str, created_at: int) -> Iterator[Step]:
    """Play a reply to a request, from the first event of the stream on.

    `identity` makes the ids of this response and of its items; `created_at` is in Unix seconds.
    What comes before the stream (a late start, an HTTP error) is not played here.
    """
    running = Response(f"resp_{identity}", created_at, request.model, "in_progress", ())
    yield Created(running)
    match reply:
        case Hang():
            yield WaitFor()
        case Fail(code=code, message=message):
            failure = Failure(code, message)
            yield Failed(msgspec.structs.replace(running, status="failed", error=failure))
        case ShellCall() | ToolCall():
            yield from _call(running, _function_call(reply, request, identity))
        case Say(text=text) | Late(text=text):
            yield from _text(running, identity, [TextDelta("", text)])
        case Until(gate=gate, text=text):
            yield from _text(running, identity, [WaitFor(gate), TextDelta("", text)])
        case Slow(deltas=deltas, gap_s=gap_s):
            words = (f"word-{number} " for number in range(deltas))
            pieces: list[TextDelta | Pause | WaitFor | Cut] = []
            for word in words:
                pieces += [TextDelta("", word), Pause(gap_s)]
            yield from _text(running, identity, pieces)
        case Drop():
            yield from _text(running, identity, [TextDelta("", "half an ans"), Cut()])
        case HttpError():
            raise ValueError(reply)


def _text(
    running: Response, identity: str, pieces: list[TextDelta | Pause | WaitFor | Cut]
) -> Iterator[Step]:
    """Stream a message; what its deltas say together is its text."""
    item = MessageItem(f"msg_{identity}", "in_progress")
    yield ItemAdded(item)
    said = ""
    for piece in pieces:
        if isinstance(piece, TextDelta):
            said += piece.delta
            yield TextDelta(item.id, piece.delta)
        else:
            yield piece
    done = MessageItem(item.id, "completed", (OutputText(said),))
    yield ItemDone(done)
    yield _completed(running, done)


def _call(running: Response, call: FunctionCall) -> Iterator[Step]:
    yield ItemAdded(msgspec.structs.replace(call, arguments="", status="in_progress"))
    yield ItemDone(call)
    yield _completed(running, call)


def _completed(running: Response, item: OutputItem) -> Completed:
    return Completed(
        msgspec.structs.replace(running, status="completed", output=(item,), usage=Usage())
    )


def _function_call(reply: ShellCall | ToolCall, request: Request, identity: str) -> FunctionCall:
    call = reply if isinstance(reply, ToolCall) else _shell_tool(reply, request.tools)
    return FunctionCall(
        f"fc_{identity}",
        f"call_{identity[:12]}",
        call.name,
        call.arguments,
        "completed",
        call.namespace,
    )


class _Escalation(msgspec.Struct, frozen=True, omit_defaults=True):
    sandbox_permissions: str | None = None
    justification: str | None = None


class _ExecCommand(_Escalation, frozen=True):
    cmd: str = ""


class _ShellCommand(_Escalation, frozen=True):
    command: str = ""


class _Shell(_Escalation, frozen=True):
    command: tuple[str, ...] = ()


def _shell_tool(reply: ShellCall, offered: tuple[str, ...]) -> ToolCall:
    """Choose among the shell tools that Codex has had; which it offers depends on its features."""
    permissions = "require_escalated" if reply.escalate else None
    why = "the stub model was told to" if reply.escalate else None
    arguments: _Escalation
    if "exec_command" in offered:
        name, arguments = "exec_command", _ExecCommand(permissions, why, reply.command)
    elif "shell_command" in offered:
        name, arguments = "shell_command", _ShellCommand(permissions, why, reply.command)
    else:
        words = ("bash", "-lc", reply.command)
        name, arguments = "shell", _Shell(permissions, why, words)
    return ToolCall(name, msgspec.json.encode(arguments).decode())
