"""docs/reference/hub-api.md knows every route, and no other."""

import re
from pathlib import Path

import msgspec
import pytest

from relay_core import hub_api
from relay_core.messages import Delivery, Message
from relay_core.sessions import Agent
from relay_hub.routes import ROUTES, health
from relay_hub.routes.tokens import TokenRequest

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hub-api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(GET|POST|PATCH|PUT|DELETE) (/[^ `]*)` \|([^|]*)\|", re.MULTILINE)
BODIES = {
    f"{each.method} {each.path}": each.takes
    for each in ROUTES
    if each.takes not in {None, hub_api.ClaimRequest, TokenRequest}
    and not each.path.endswith(("/reject", "/hangup"))
}
"""Those of claims and of an answer to a pair are described once; that of a token has one field."""


def test_the_page_lists_the_routes_that_there_are():
    served = {f"{route.method} {route.path}" for route in ROUTES}
    served |= {f"{each.method} {each.path}" for each in health.routes(b"", int, dict)}

    assert {f"{method} {path}" for method, path, _ in ROW.findall(PAGE)} == served


@pytest.mark.parametrize("route", BODIES)
def test_the_page_names_every_field_of_a_body(route: str):
    (body,) = [body for method, path, body in ROW.findall(PAGE) if f"{method} {path}" == route]

    assert _wire_names(BODIES[route]) == set(re.findall(r"\b[a-z][a-zA-Z]+\b", _fields(body)))


def _fields(body: str) -> str:
    # Values in brackets after a field are not its name.
    return re.sub(r"\([^)]*\)", "", body)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        (Agent, "An agent: `"),
        (Message, "A message: `"),
        (Delivery, "A delivery: `"),
        (hub_api.Pair, "A pair: `"),
    ],
)
def test_the_page_names_every_field_of_what_is_answered(kind: type[msgspec.Struct], start: str):
    listed = PAGE.split(start, 1)[1].split("`", 1)[0].split(", ")

    assert set(listed) == _wire_names(kind)


def _wire_names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}
