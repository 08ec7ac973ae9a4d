"""The few words of ASGI that the hub speaks, typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import msgspec

from relay_core.errors import HubRefused
from relay_core.hub_api import ErrorBody

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
_LONGEST_DETAIL = 500
_BODY_TYPE = (b"content-type", JSON)


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    headers: Mapping[bytes, bytes] | None = None,
    content_type: bytes = JSON,
    websocket: bool = False,
) -> None:
    """Answer a request, or refuse a websocket's handshake."""
    prefix = "websocket.http.response" if websocket else "http.response"
    lines = [
        _BODY_TYPE if content_type is JSON else (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
    ]
    if headers:
        lines += headers.items()
    await send({"type": f"{prefix}.start", "status": status, "headers": lines})
    await send({"type": f"{prefix}.body", "body": body})


async def respond_refused(
    send: Send,
    refused: HubRefused,
    *,
    headers: Mapping[bytes, bytes] | None = None,
    websocket: bool = False,
) -> None:
    """Answer with an error: the stable code, a line for people, what mends it."""
    extra = dict(headers or {})
    if refused.retry_after_s is not None:
        extra[b"retry-after"] = b"%d" % refused.retry_after_s
    body = msgspec.json.encode(
        ErrorBody(
            code=refused.code,
            detail=one_line(refused.detail),
            fix=refused.fix,
            delivery_ids=refused.delivery_ids or None,  # type: ignore[arg-type]
        )
    )
    await respond(send, refused.status, body, headers=extra, websocket=websocket)


def one_line(detail: str) -> str:
    """Show what an error tells in one line: it may quote what a client sent, whatever that is."""
    if len(detail) > _LONGEST_DETAIL:
        detail = f"{detail[:_LONGEST_DETAIL]}..."
    if detail.isprintable():
        return detail
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in detail)
