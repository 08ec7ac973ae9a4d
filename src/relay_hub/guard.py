"""Who may come in: every request passes here, before anything of it is looked at."""

# Rule 1: the order is Host, Origin, token, encoding, media type, size, JSON. What fails early tells
#         nothing about what would come later.
# Rule 2: it works on the raw header list: a header that is there twice counts as wrong.
# Rule 3: what is refused has no effect; the next good request is served.

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from relay_core.errors import HubRefused
from relay_core.hub_api import ACTING_HEADER, USER_HEADER
from relay_core.messages import Credential
from relay_hub.asgi import App, Receive, Scope, Send, respond_refused
from relay_hub.callers import USER, Caller
from relay_hub.limits import Limits
from relay_hub.service import checks
from relay_hub.strict_json import BadJson, StrictJson

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What answers without a token; Host and Origin count here as well."""

CALLER = "relay.caller"
BODY = "relay.body"
"""Where the guard leaves what it found, in the scope."""

_READ = "relay.read"
_TOKEN = USER_HEADER.lower().encode()
_ACTING = ACTING_HEADER.lower().encode()
_CLOSE = {b"connection": b"close"}
_DRAINED_BYTES = 4 * 1024 * 1024
_DRAIN_S = 2.0

Headers = list[tuple[bytes, bytes]]


class Guard:
    """ASGI middleware; `refused` counts what it turned away, by status."""

    def __init__(
        self,
        app: App,
        *,
        authorities: frozenset[bytes],
        user_hash: bytes,
        agent_caller: Callable[[bytes], Caller | None],
        limits: Limits,
        token_file: Path | None = None,
    ) -> None:
        self._app = app
        self._authorities = authorities
        self._user_hash = user_hash
        self._agent_caller = agent_caller
        self._limits = limits
        self._json = StrictJson(limits)
        self._token_file = token_file
        self.refused: dict[int, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = scope["type"] == "websocket"
        if not websocket and scope["type"] != "http":
            return
        try:
            self._let_in(scope)
            if not websocket:
                scope[BODY] = await self._body(scope, receive)
        except HubRefused as error:
            self.refused[error.status] = self.refused.get(error.status, 0) + 1
            headers = dict(_CLOSE)
            if error.status == 401:  # noqa: PLR2004 - the status is the name
                headers[b"www-authenticate"] = b"Bearer"
            if websocket:
                await receive()
            else:
                await self._drain(scope, receive)
            await respond_refused(send, error, headers=headers, websocket=websocket)
            return
        await self._app(scope, receive, send)

    def _let_in(self, scope: Scope) -> None:
        headers: Headers = scope["headers"]
        self._check_head(scope, headers)
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._authorities:
            raise _refused(421, "bad_host", "one Host header is needed, and it must be the hub's")
        for name, value in headers:
            if name == b"origin" or (name == b"sec-fetch-site" and value != b"none"):
                raise _refused(403, "foreign_origin", "requests of web pages are not answered")
        if scope["path"] in OPEN_PATHS:
            scope[CALLER] = None
        else:
            scope[CALLER] = self._caller(headers)

    def _check_head(self, scope: Scope, headers: Headers) -> None:
        size = sum(len(name) + len(value) for name, value in headers)
        if size > self._limits.header_bytes or len(headers) > self._limits.headers:
            raise _refused(431, "head_too_large", "the headers are too large")
        target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target > self._limits.target_bytes:
            raise _refused(414, "target_too_long", "the path is too long")

    def _caller(self, headers: Headers) -> Caller:
        tokens = [
            value if name == _TOKEN else _bearer(value)
            for name, value in headers
            if name in {_TOKEN, b"authorization"}
        ]
        if len(tokens) == 1:
            hashed = hashlib.sha256(tokens[0]).digest()
            if hmac.compare_digest(hashed, self._user_hash):
                return _acting(USER, headers)
            if (caller := self._agent_caller(hashed)) is not None:
                return _acting(caller, headers)
        where = f"it is in {self._token_file}" if self._token_file else "its bearer has it"
        raise _refused(
            401,
            "token_needed",
            f"one token is needed: {where}",
            fix="send it as Authorization: Bearer, or as X-Agent-Relay-Token",
        )

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        headers: Headers = scope["headers"]
        lengths = [value for name, value in headers if name == b"content-length"]
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        chunked = bool(codings)
        if any(name == b"content-encoding" for name, _ in headers) or codings not in (
            [],
            [b"chunked"],
        ):
            raise _refused(415, "encoded_body", "the body must not be encoded")
        if not chunked and (not lengths or lengths == [b"0"]):
            return b""
        kinds = [value for name, value in headers if name == b"content-type"]
        if len(kinds) != 1 or not _is_json(kinds[0]):
            raise _refused(415, "not_json", "the body must be application/json in UTF-8")
        if any(int(length[:20]) > self._limits.request_bytes for length in lengths):
            raise _too_large(self._limits.request_bytes)
        body = await self._whole(scope, receive)
        try:
            if body:
                self._json.check(body)
        except BadJson as error:
            raise _refused(400, "bad_json", str(error)) from error
        return body

    async def _whole(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_timeout_ms / 1_000):
                body = await _read(receive, self._limits.request_bytes)
                scope[_READ] = True
                return body
        except TimeoutError as error:
            scope[_READ] = True
            raise _refused(408, "slow_body", "the body took too long") from error

    async def _drain(self, scope: Scope, receive: Receive) -> None:
        # A client that is still sending would see a broken connection instead of the answer.
        if _READ in scope or not any(
            name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"]
        ):
            return
        left = _DRAINED_BYTES
        try:
            async with asyncio.timeout(_DRAIN_S):
                while left > 0:
                    event = await receive()
                    left -= len(event.get("body", b""))
                    if not event.get("more_body", False):
                        return
        except TimeoutError:
            return


async def _read(receive: Receive, most: int) -> bytes:
    chunks, size, more = list[bytes](), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _refused(400, "disconnected", "the client has gone")
        chunk: bytes = event.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        more = event.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _acting(caller: Caller, headers: Headers) -> Caller:
    """Give away every right but those of the agent that is named, where one is."""
    named = [value for name, value in headers if name == _ACTING]
    if not named:
        return caller
    agent_id = checks.agent_id(named[0].decode("latin-1") if len(named) == 1 else "")
    caller.must_act_as(agent_id)
    return Caller(credential=Credential.AGENT, agent_id=agent_id)


def _is_json(kind: bytes) -> bool:
    media, _, parameters = kind.partition(b";")
    if media.strip().lower() != b"application/json":
        return False
    return parameters.strip().lower().replace(b'"', b"") in (b"", b"charset=utf-8")


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token if scheme.lower() == b"bearer" else b""


def _too_large(most: int) -> HubRefused:
    return _refused(413, "request_too_large", f"a request holds {most} bytes at most")


def _refused(status: int, code: str, detail: str, *, fix: str | None = None) -> HubRefused:
    return HubRefused(status, code, detail, fix=fix)
