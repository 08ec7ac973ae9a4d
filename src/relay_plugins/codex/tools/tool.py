"""What a tool is: a name, words for a model, typed input and output, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from relay_core import ActingAgent, Struct


class Input(Struct, forbid_unknown_fields=True):
    """The arguments of a tool; a name that does not exist is refused, so that none is lost."""


class Nothing(Input):
    """No arguments."""


I = TypeVar("I", bound=Input)  # noqa: E741 - what goes in
O = TypeVar("O", bound=Struct)  # noqa: E741 - what comes out


class Call(Struct):
    """Who asks for a tool: `once` names the call, None where the client gives no name."""

    agent: ActingAgent
    once: str | None = None


class Given(Struct, Generic[O]):
    """What a tool answers: a value for programs and models, and a line that sums it up."""

    value: O
    text: str


@dataclass(frozen=True)
class Tool(Generic[I, O]):
    """One line of the table.

    `reads` promises that nothing is changed, `repeatable` that doing it twice is harmless. None of
    them destroys anything or leaves this machine, which is why no approval is needed.
    """

    name: str
    title: str
    about: str
    takes: type[I]
    gives: type[O]
    do: Callable[[Call, I], Awaitable[Given[O]]]
    reads: bool = False
    repeatable: bool = False

    async def __call__(self, call: Call, arguments: msgspec.Raw) -> Given[O]:
        """Do it; ValidationError where the arguments are none for it."""
        return await self.do(call, read_arguments(arguments, self.takes))


AnyTool = Tool[Any, Any]


class Annotations(Struct):
    """What a client may know of a tool before it asks its user, each said explicitly."""

    title: str
    read_only_hint: bool
    idempotent_hint: bool
    destructive_hint: bool = False
    open_world_hint: bool = False


class Listed(Struct):
    """A tool in the answer to `tools/list`."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    annotations: Annotations


def listed(tool: AnyTool) -> Listed:
    """Describe a tool for a client."""
    return Listed(
        name=tool.name,
        title=tool.title,
        description=tool.about,
        input_schema=schema_of(tool.takes),
        output_schema=schema_of(tool.gives),
        annotations=Annotations(
            title=tool.title,
            read_only_hint=tool.reads,
            idempotent_hint=tool.reads or tool.repeatable,
        ),
    )


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Write the JSON Schema of a struct: an object at the top, as MCP wants it."""
    _, components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    schema = dict(components.pop(kind.__name__))
    # The class is ours; the model reads the tool's own description.
    for word in ("title", "description"):
        schema.pop(word, None)
    if components:
        schema["$defs"] = components
    return schema


def read_arguments(arguments: msgspec.Raw, kind: type[I]) -> I:
    """Read a tool's arguments; `null` counts as left out, as some models write it."""
    given: dict[str, msgspec.Raw] | None = msgspec.json.decode(
        bytes(arguments) or b"{}", type=dict[str, msgspec.Raw] | None
    )
    known = {name: value for name, value in (given or {}).items() if bytes(value) != b"null"}
    return msgspec.json.decode(msgspec.json.encode(known), type=kind, strict=False)
