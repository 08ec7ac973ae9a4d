"""docs/reference/hub-api.md knows every route, and no other."""

import re
from pathlib import Path

import msgspec
import pytest

from relay_core import held_mail, hub_api
from relay_core.messages import Delivery, Message
from relay_core.sessions import Agent
from relay_hub.routes import ROUTES, health

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hub-api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(GET|POST|PATCH|PUT|DELETE) (/[^ `]*)` \|([^|]*)\|", re.MULTILINE)
BODIES = {
    "POST /api/agents": hub_api.RegisterRequest,
    "PATCH /api/agents/{agent_id}": hub_api.AgentPatch,
    "POST /api/agents/{agent_id}/heartbeat": hub_api.HeartbeatRequest,
    "PATCH /api/agents/{agent_id}/status": hub_api.StatusRequest,
    "PATCH /api/agents/{agent_id}/ready": hub_api.ReadyRequest,
    "POST /api/messages": hub_api.SendRequest,
    "PATCH /api/messages/{message_id}": hub_api.MessagePatch,
    "POST /api/pairs": hub_api.PairRequest,
    "POST /api/pairs/{pair_id}/accept": hub_api.PairAnswer,
    "POST /api/pairs/{pair_id}/messages": hub_api.PairMessageRequest,
    "PATCH /api/held/{delivery_id}": held_mail.HeldPatch,
    "POST /api/held/{delivery_id}/drop": held_mail.DropRequest,
    "POST /api/attempts": hub_api.AttemptRequest,
    "POST /api/attempts/{attempt_id}/outcome": hub_api.Outcome,
    "POST /api/attempts/{attempt_id}/turn": hub_api.TurnReport,
    "POST /api/deliveries/{delivery_id}/verdict": hub_api.VerdictRequest,
    "POST /api/deliveries/{delivery_id}/annotations": hub_api.AnnotateRequest,
}


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
