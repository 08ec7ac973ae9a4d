"""What the stub model saw: each request of Codex, flattened for reading."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

TOOL_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


class Item(msgspec.Struct, frozen=True):
    """One item of a request's input: a role (or, without one, a type) and its text."""

    kind: str
    text: str


class Request(msgspec.Struct, frozen=True):
    """One HTTP request as it arrived.

    `number` counts the requests of its stub from 1; `at_ms` is Unix time. `items` is the input,
    oldest first, empty for anything but a model request; `tools` are the names of the functions
    on offer. `headers` have lower-case names.
    """

    number: int
    at_ms: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    items: tuple[Item, ...] = ()
    tools: tuple[str, ...] = ()
    model: str = ""

    @property
    def asks_model(self) -> bool:
        """Whether this is a request for an answer of the model."""
        return self.method == "POST" and self.path.partition("?")[0].endswith("/responses")

    @property
    def thread_id(self) -> str | None:
        """The thread that asks, as Codex 0.163 and later say in a header."""
        return self.headers.get("thread-id")

    def count(self, text: str) -> int:
        """Count how often `text` stands in the input, over all items."""
        return sum(item.text.count(text) for item in self.items)

    @property
    def newest_user_text(self) -> str | None:
        """The text of the newest user-role item; None where a tool's output is newer."""
        for item in reversed(self.items):
            if item.kind in TOOL_OUTPUTS:
                return None
            if item.kind == "user":
                return item.text
        return None


class _Part(msgspec.Struct):
    text: str = ""


class _InputItem(msgspec.Struct):
    type: str = "?"
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    arguments: msgspec.Raw = msgspec.Raw()


class _Tool(msgspec.Struct):
    type: str = ""
    name: str = ""


class _Body(msgspec.Struct):
    input: str | list[_InputItem] = []
    tools: list[_Tool] = []
    model: str = ""


def request(
    *, number: int, at_ms: float, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Request:
    """Flatten a request; a body that is no model request leaves items and tools empty."""
    try:
        decoded = msgspec.json.decode(body, type=_Body) if body else _Body()
    except msgspec.MsgspecError:
        decoded = _Body()
    items = (
        (Item("user", decoded.input),)
        if isinstance(decoded.input, str)
        else tuple(Item(item.role or item.type, _text(item)) for item in decoded.input)
    )
    return Request(
        number=number,
        at_ms=at_ms,
        method=method,
        path=path,
        headers=headers,
        body=body,
        items=items,
        tools=tuple(tool.name or tool.type for tool in decoded.tools),
        model=decoded.model,
    )


def _text(item: _InputItem) -> str:
    """Take the text out of whichever field holds it: a string, or a list of parts."""
    fields = (bytes(field) for field in (item.content, item.output, item.arguments))
    raw = next((field for field in fields if field not in (b"", b"null")), b'""')
    try:
        value = msgspec.json.decode(raw, type=str | list[_Part])
    except msgspec.ValidationError:
        return raw.decode()
    return value if isinstance(value, str) else "\n".join(part.text for part in value)
