"""The MCP server: one JSON-RPC request in, one answer out, nothing kept in between."""

# Rule 1: the client says which thread asks (`_meta.threadId`); the core knows which agent that is.
#         No token and no address comes near a model.
# Rule 2: what a tool cannot do is a result that says so, which the model reads; an error of the
#         protocol is only what no model can have caused.
# Rule 3: a line that comes twice acts once: thread and call (`_meta.callId`) name it at the hub.

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import version

import msgspec

from relay_core import ActingAgent, RelayError, Struct
from relay_plugins.codex.tools.advice import advice_for, bad_arguments
from relay_plugins.codex.tools.table import BY_NAME, TABLE
from relay_plugins.codex.tools.tool import Call, Given, listed

log = logging.getLogger("relay.codex")

VERSIONS = ("2025-06-18", "2025-11-25", "2025-03-26", "2024-11-05")
"""The protocol versions that are spoken, the one offered to others first."""

INSTRUCTIONS = (
    "Messages between this session and other coding agents. Use these tools first: they work in "
    "every approval mode and sandbox; the `agent-relay` commands need an open shell. "
    "relay_reply answers a message, relay_send writes to an agent, relay_ask puts a question that "
    "wants an answer, relay_agents lists them."
)
NOT_JSON, NOT_A_REQUEST, NO_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602

Acting = Callable[[str], Awaitable[ActingAgent]]
"""Finds who a thread is; raises RelayError where it is nobody."""


class Request(msgspec.Struct):
    """A line of a client; without an `id` it wants no answer."""

    method: str
    jsonrpc: str = "2.0"
    id: int | str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Answer(msgspec.Struct, omit_defaults=True):
    id: int | str | None
    jsonrpc: str = msgspec.field(default_factory=lambda: "2.0")
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct):
    code: int
    message: str


class _Initialize(msgspec.Struct, rename="camel"):
    protocol_version: str = ""


class _ServerInfo(Struct):
    name: str
    title: str
    version: str


class _Initialized(Struct):
    protocol_version: str
    server_info: _ServerInfo
    capabilities: dict[str, dict[str, bool]]
    instructions: str = INSTRUCTIONS


class _CallMeta(msgspec.Struct, rename="camel"):
    thread_id: str | None = None
    call_id: str | None = None


class _ToolCall(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    meta: _CallMeta | None = msgspec.field(name="_meta", default=None)


class _Text(Struct):
    text: str
    type: str = "text"


class _Result(Struct):
    content: tuple[_Text, ...]
    is_error: bool = False


class _Structured(_Result, kw_only=True):
    structured_content: msgspec.Raw


class _ProtocolError(Exception):
    """Becomes an error of the protocol."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ToolServer:
    """Answers one line at a time; `acting` says who asks."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting

    async def answer(self, line: bytes | msgspec.Raw) -> bytes:
        """Answer a line; `null` for one that wants no answer. Never raises for what a line says."""
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.ValidationError as error:
            return _error(None, NOT_A_REQUEST, f"not a JSON-RPC request: {error}")
        except (msgspec.DecodeError, RecursionError) as error:
            return _error(None, NOT_JSON, f"not JSON: {error}")
        try:
            result = await self._result(request)
        except _ProtocolError as error:
            return _error(request.id, error.code, str(error))
        except msgspec.DecodeError as error:
            return _error(request.id, BAD_PARAMS, f"{request.method}: {error}")
        if request.id is None:
            return b"null"
        return msgspec.json.encode(_Answer(id=request.id, result=result))

    async def _result(self, request: Request) -> msgspec.Raw:
        match request.method:
            case "initialize":
                return _initialized(msgspec.json.decode(request.params, type=_Initialize))
            case "ping":
                return msgspec.Raw(b"{}")
            case "tools/list":
                return tool_list()
            case "tools/call":
                return await self._called(msgspec.json.decode(request.params, type=_ToolCall))
            case method if request.id is None:
                log.debug("a client of the tools notifies of %s", method)
                return msgspec.Raw(b"null")
            case method:
                raise _ProtocolError(NO_METHOD, f"there is no method {method[:100]!r}")

    async def _called(self, call: _ToolCall) -> msgspec.Raw:
        tool = BY_NAME.get(call.name)
        if tool is None:
            raise _ProtocolError(BAD_PARAMS, f"there is no tool {call.name[:100]!r}")
        meta = call.meta or _CallMeta()
        try:
            if meta.thread_id is None:
                raise RelayError("this client does not say which thread asks", fix=_ONLY_CODEX)
            agent = await self._acting(meta.thread_id)
            once = _name_of(meta.thread_id, meta.call_id)
            given = await tool(Call(agent=agent, once=once), call.arguments)
        except RelayError as error:
            return _refused(advice_for(error))
        except msgspec.DecodeError as error:
            return _refused(bad_arguments(call.name, error))
        return _result_of(given)


_ONLY_CODEX = "These tools are for sessions of Codex."


def _initialized(given: _Initialize) -> msgspec.Raw:
    asked = given.protocol_version
    answer = _Initialized(
        protocol_version=asked if asked in VERSIONS else VERSIONS[0],
        server_info=_ServerInfo(name="agent-relay", title="Agent Relay", version=_version()),
        capabilities={"tools": {"listChanged": False}},
    )
    return msgspec.Raw(msgspec.json.encode(answer))


@cache
def tool_list() -> msgspec.Raw:
    """The answer to `tools/list`: the same at every time."""
    return msgspec.Raw(msgspec.json.encode({"tools": [listed(tool) for tool in TABLE]}))


@cache
def _version() -> str:
    return version("agent-relay-codex")


def _name_of(thread_id: str, call_id: str | None) -> str | None:
    """Name a call for the hub; None where the client gives calls no names."""
    if not call_id:
        return None
    return f"tool-{hashlib.sha256(f'{thread_id} {call_id}'.encode()).hexdigest()}"


def _result_of(given: Given[Struct]) -> msgspec.Raw:
    value = msgspec.Raw(msgspec.json.encode(given.value))
    result = _Structured(content=(_Text(text=given.text),), structured_content=value)
    return msgspec.Raw(msgspec.json.encode(result))


def _refused(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_Result(content=(_Text(text=text),), is_error=True)))


def _error(request_id: int | str | None, code: int, message: str) -> bytes:
    return msgspec.json.encode(_Answer(id=request_id, error=_Error(code, message)))
