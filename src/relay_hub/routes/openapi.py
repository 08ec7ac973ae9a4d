"""The API as an OpenAPI document, made from the route table and the types of bodies."""

# Rule 1: nothing is written down twice: what a route takes and gives stands in the table, and a
#         type's fields and words stand in its Struct.
# Rule 2: any route may be refused in any of the ways below. Which one is for what is in the codes.

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from relay_core.hub_api import ErrorBody
from relay_hub.routes.call import Route

VERSION, API_VERSION = "3.1.0", "1"
REFUSED: Mapping[int, str] = {
    400: "what was sent is no request, or no JSON",
    401: "a token is needed",
    403: "this is not for the token's bearer",
    404: "there is no such thing, or not for this token",
    405: "another method is needed",
    408: "the request took too long",
    409: "not now, or another instance has taken over",
    413: "too large",
    414: "the target is too long",
    415: "not JSON",
    421: "not the hub's name",
    422: "a value makes no sense",
    428: "the agent's epoch is needed",
    429: "too much for now; Retry-After says when",
    431: "the head is too large",
    503: "nothing can be taken in now",
}
"""The statuses of an error, on any route."""

_PLACE = re.compile(r"{(\w+)}")
_NAMES = "#/components/schemas/{name}"
_NUMBERS = frozenset({"since", "before", "limit", "epoch"})
_WORDS_TOO = frozenset({("/api/agents", "since"), ("/api/pairs", "before")})
"""Where a list goes on after a name instead of a number."""

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | bool | None


def document(routes: Iterable[Route]) -> Json:
    """Describe these routes."""
    table = tuple(routes)
    kinds = [
        each for route in table for each in (route.takes, route.gives) if each not in (None, str)
    ]
    schemas, components = msgspec.json.schema_components([ErrorBody, *kinds], ref_template=_NAMES)
    refused, *shown = schemas
    shown_as = {id(kind): schema for kind, schema in zip(kinds, shown, strict=True)}
    paths: dict[str, dict[str, Json]] = {}
    for route in table:
        operation = _operation(route, shown_as, refused)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": VERSION,
        "info": {"title": "Agent Relay hub", "version": API_VERSION},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, shown_as: Mapping[int, Json], refused: Json) -> Json:
    given = _content(route.gives, shown_as)
    success = {str(each): given for each in (route.status, route.also) if each is not None}
    errors: dict[str, Json] = {
        str(status): {"description": what, "content": {"application/json": {"schema": refused}}}
        for status, what in REFUSED.items()
    }
    operation: dict[str, Json] = {
        "operationId": _operation_id(route),
        "parameters": [*_in_path(route), *_in_query(route), *_in_head(route)],
        "responses": {**success, **errors},
    }
    if route.takes is not None:
        body = {"application/json": {"schema": shown_as[id(route.takes)]}}
        operation["requestBody"] = {"required": not route.may_be_empty, "content": body}
    if route.open:
        operation["security"] = []
    return operation


def _content(gives: object, shown_as: Mapping[int, Json]) -> Json:
    if gives is str:
        return {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    schema = {"type": "object"} if gives is None else shown_as[id(gives)]
    return {"description": "done", "content": {"application/json": {"schema": schema}}}


def _operation_id(route: Route) -> str:
    words = route.path.removeprefix("/api").replace("{", "").replace("}", "").split("/")
    return "_".join([route.method.lower(), *(each for each in words if each)])


def _in_path(route: Route) -> list[Json]:
    return [_parameter(name, "path", required=True) for name in _PLACE.findall(route.path)]


def _in_query(route: Route) -> list[Json]:
    return [
        _parameter(name, "query", number=name in _NUMBERS and (route.path, name) not in _WORDS_TOO)
        for name in route.query
    ]


def _in_head(route: Route) -> list[Json]:
    return [_parameter("Idempotency-Key", "header")] if route.method == "POST" else []


def _parameter(name: str, place: str, *, required: bool = False, number: bool = False) -> Json:
    schema: Json = {"type": "integer", "minimum": 0} if number else {"type": "string"}
    return {"name": name, "in": place, "required": required, "schema": schema}
