"""The MCP server of the tools: what it answers to any line, and what its table promises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay_core import ActingAgent, HubRefused, RelayError
from relay_plugins.codex.tools.advice import ADVICE, advice_for
from relay_plugins.codex.tools.server import VERSIONS, ToolServer, tool_list

TOOLS = json.loads(bytes(tool_list()))["tools"]


async def nobody(thread_id: str) -> ActingAgent:
    raise RelayError(f"{thread_id} is nobody here", fix="Do this.")


async def answer(line: object) -> Any:
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    return json.loads(await ToolServer(nobody).answer(text))


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize("asked", VERSIONS)
async def test_a_version_that_it_speaks_is_spoken(asked: str):
    result = (await answer(request("initialize", protocolVersion=asked)))["result"]

    assert result["protocolVersion"] == asked
    assert result["capabilities"] == {"tools": {"listChanged": False}}
    assert "relay_reply" in result["instructions"]


async def test_to_another_version_it_offers_its_own():
    result = (await answer(request("initialize", protocolVersion="1999-01-01")))["result"]

    assert result["protocolVersion"] == VERSIONS[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b'{"id":1,"method":"ping","params":' + b"[" * 100_000, -32700),
        (b"[]", -32600),
        ({"id": 1}, -32600),
        ({"id": {}, "method": "ping"}, -32600),
        (request("resources/list"), -32601),
        (request("tools/call"), -32602),
        (request("tools/call", name="relay_fly"), -32602),
        ({"id": 1, "method": "initialize", "params": 5}, -32602),
    ],
)
async def test_a_line_that_is_wrong_gets_the_protocols_error(line: object, code: int):
    assert (await answer(line))["error"]["code"] == code


async def test_what_wants_no_answer_gets_none():
    assert await answer({"method": "notifications/initialized"}) is None
    assert await answer({"method": "tools/list"}) is None


@pytest.mark.parametrize("meta", [{}, {"_meta": None}, {"_meta": {"other": 1}}])
async def test_a_client_that_names_no_thread_is_refused_as_a_result(meta: dict[str, Any]):
    called = await answer(request("tools/call", name="relay_status", arguments=None, **meta))

    assert called["result"]["isError"] is True
    assert "which thread" in called["result"]["content"][0]["text"]


async def test_who_is_nobody_is_told_what_to_do():
    meta = {"threadId": "t-1"}
    called = await answer(request("tools/call", name="relay_status", _meta=meta))

    assert called["result"]["content"][0]["text"] == "T-1 is nobody here. Do this."
    assert "structuredContent" not in called["result"]


@pytest.mark.parametrize("tool", TOOLS, ids=[tool["name"] for tool in TOOLS])
def test_each_tool_needs_no_approval_and_any_reader_understands_its_arguments(tool: dict[str, Any]):
    hints = tool["annotations"]
    assert (hints["destructiveHint"], hints["openWorldHint"]) == (False, False)
    assert isinstance(hints["readOnlyHint"], bool)
    assert isinstance(hints["idempotentHint"], bool)
    taken = tool["inputSchema"]
    assert (taken["type"], taken["additionalProperties"]) == ("object", False)
    for argument in taken["properties"].values():
        # Neither references nor alternatives: some readers make text of them.
        assert argument["type"] in {"string", "integer", "boolean", "array"}
        assert argument["description"].endswith((".", ":"))
    assert tool["outputSchema"]["type"] == "object"


def test_advice_is_for_a_model_and_not_for_a_shell():
    shown = advice_for(HubRefused(404, "unknown_target", "no agent x", fix="agent-relay agents"))
    new = advice_for(HubRefused(409, "brand_new", "no", fix="agent-relay do"))
    later = advice_for(HubRefused(429, "brand_new", "no", retry_after_s=7))

    assert shown == f"No agent x. {ADVICE['unknown_target']}"
    assert "agent-relay" not in new
    assert "7 s" in later
