"""One request on its way to its handler, and the answer on its way back."""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from relay_core.errors import HubRefused
from relay_core.messages import Struct
from relay_hub.asgi import Receive, Scope, Send, respond, respond_refused
from relay_hub.callers import USER, Caller
from relay_hub.guard import BODY, CALLER
from relay_hub.service import HubService, once

T = TypeVar("T")
W = TypeVar("W", bound=enum.StrEnum)

log = logging.getLogger(__name__)

LARGEST_ID = 2**53 - 1
LISTED = 100
"""How many of a list are answered when nobody says."""

MOST_LISTED = 500
"""How many can be asked for at once."""

_NUMBER = re.compile(r"[0-9]{1,16}")
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


class Call:
    """What a handler is given: the service, who asks, and what was asked."""

    __slots__ = ("_query", "body", "caller", "params", "service")

    def __init__(
        self,
        service: HubService,
        caller: Caller,
        params: Mapping[str, str],
        query: bytes,
        body: bytes,
    ) -> None:
        self.service = service
        self.caller = caller
        self.params = params
        self.body = body
        self._query = query

    def read(self, kind: type[T]) -> T:
        """Decode the body; 400 `bad_json` or 422 `bad_fields`."""
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.json.Decoder(kind)
        if not self.body:
            raise HubRefused(400, "bad_json", "a JSON body is needed")
        found: T = decoder.decode(self.body)  # type: ignore[assignment]
        return found

    def number(self, name: str) -> int:
        """A number in the path; 404 `not_found` where it is none."""
        value = self.params[name]
        if not _NUMBER.fullmatch(value) or int(value) > LARGEST_ID:
            raise HubRefused(404, "not_found", f"{value!a} is no number of anything here")
        return int(value)

    def query(self) -> dict[str, str]:
        """The parameters after `?`; 422 `bad_query` where one is there twice."""
        try:
            pairs = parse_qsl(self._query.decode("ascii"), keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError) as error:
            raise HubRefused(422, "bad_query", "the query is not UTF-8") from error
        found = dict(pairs)
        if len(found) != len(pairs):
            raise HubRefused(422, "bad_query", "a parameter is there twice")
        return found

    def query_number(self, name: str, default: int, *, most: int = LARGEST_ID) -> int:
        """A number after `?`, not larger than `most`."""
        value = self.query().get(name)
        if value is None:
            return default
        if not _NUMBER.fullmatch(value) or int(value) > most:
            raise HubRefused(422, "bad_query", f"{name} is a number from 0 to {most}")
        return int(value)


def words(name: str, value: str, kind: type[W]) -> tuple[W, ...]:
    """Read `all`, or words of an enum with commas between them; 422 `bad_query`."""
    if value == "all":
        return tuple(kind)
    try:
        return tuple(kind(word) for word in value.split(","))
    except ValueError as error:
        raise HubRefused(
            422, "bad_query", f"{name} is all, or some of {', '.join(kind)}: not {value[:64]!a}"
        ) from error


class Answer(Struct):
    """What a handler answers: a value that becomes JSON, or text."""

    body: object = None
    status: int = 200
    text: str | None = None


Handler = Callable[[Call], Awaitable[Answer]]


class Route(Struct):
    """One line of the route table, and what `relay_hub.routes.openapi` says of it.

    `takes` is the body's type, `gives` the answer's: None where that is `{}`, `str` for plain text.
    `status` is what it answers on success, `also` another one. `query` names what may follow `?`.
    `open` tells that no token is needed, `may_be_empty` that old clients send no body.
    """

    method: str
    path: str
    handler: Handler
    takes: type[Struct] | None = None
    gives: object = None
    status: int = 200
    also: int | None = None
    query: tuple[str, ...] = ()
    open: bool = False
    may_be_empty: bool = False


class Endpoint:
    """Everything at one path: picks the handler by method, and answers what it raises."""

    def __init__(self, service: HubService, path: str, handlers: Mapping[str, Handler]) -> None:
        self._service = service
        self._path = path
        self._handlers = handlers
        self._allow = ", ".join(sorted(handlers)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive  # the guard has read the body
        handler = self._handlers.get(scope["method"])
        if handler is None:
            refused = HubRefused(405, "bad_method", f"{self._path} takes {self._allow.decode()}")
            await respond_refused(send, refused, headers={b"allow": self._allow})
            return
        try:
            answer = await handler(self._call(scope))
        except HubRefused as error:
            await respond_refused(send, error)
        except msgspec.ValidationError as error:
            await respond_refused(send, HubRefused(422, "bad_fields", str(error)))
        except msgspec.DecodeError as error:
            await respond_refused(send, HubRefused(400, "bad_json", str(error)))
        except Exception:  # a fault of ours must cost one answer, never the hub
            log.exception("%s %s failed", scope["method"], self._path)
            await respond_refused(
                send, HubRefused(500, "internal", "the hub failed; its log says why")
            )
        else:
            if answer.text is not None:
                kind = b"text/plain; charset=utf-8"
                await respond(send, answer.status, answer.text.encode(), content_type=kind)
            else:
                await respond(send, answer.status, msgspec.json.encode(answer.body))

    def _call(self, scope: Scope) -> Call:
        caller: Caller = scope[CALLER] or USER
        body: bytes = scope[BODY]
        if scope["method"] == "POST":
            keys = [value for name, value in scope["headers"] if name == b"idempotency-key"]
            if keys:
                key = keys[0].decode("latin-1") if len(keys) == 1 else ""
                # The route with its ids: a key belongs to one thing that is done.
                caller = replace(caller, once=once(caller, scope["path"], key, body))
        return Call(self._service, caller, scope["path_params"], scope["query_string"], body)
