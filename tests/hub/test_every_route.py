"""Each route behind each check of the door: the routes come from the hub's own table."""

from collections.abc import Callable

import pytest
import pytest_asyncio

from hub_surface import (
    ADA,
    BODIES,
    EVE,
    QUERIES,
    STREAM,
    Headers,
    Surface,
    open_surface,
    route_table,
    told,
)
from relay_hub.guard import OPEN_PATHS
from relay_hub.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUEST_BYTES = 4_096
TABLE = route_table()
NEEDS_NO_TOKEN = {f"GET {path}" for path in OPEN_PATHS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    limits = Limits(request_bytes=REQUEST_BYTES)
    async with open_surface(tmp_path_factory.mktemp("hub"), limits) as surface:
        yield surface


def without(headers: Headers, name: str) -> Headers:
    return [each for each in headers if each[0] != name]


Change = Callable[[Surface, Headers], Headers]

AT_THE_DOOR: dict[str, tuple[Change, int, str]] = {
    "no Host": (lambda _, sent: without(sent, "Host"), 421, "bad_host"),
    "another Host": (
        lambda hub, sent: [("Host", f"evil.example:{hub.served.port}"), *without(sent, "Host")],
        421,
        "bad_host",
    ),
    "two Hosts": (lambda _, sent: [sent[0], *sent], 421, "bad_host"),
    "a page's Origin": (
        lambda _, sent: [*sent, ("Origin", "https://evil.example")],
        403,
        "foreign_origin",
    ),
    "the hub's own Origin": (
        lambda hub, sent: [*sent, ("Origin", hub.served.url)],
        403,
        "foreign_origin",
    ),
    "a fetch across sites": (
        lambda _, sent: [*sent, ("Sec-Fetch-Site", "cross-site")],
        403,
        "foreign_origin",
    ),
    "a fetch of a page of the hub's": (
        lambda _, sent: [*sent, ("Sec-Fetch-Site", "same-origin")],
        403,
        "foreign_origin",
    ),
}
"""What no route answers, whoever asks."""

WITHOUT_A_RIGHT: dict[str, tuple[Change, int, str]] = {
    "no token": (lambda _, sent: without(sent, "Authorization"), 401, "token_needed"),
    "a wrong token": (
        lambda _, sent: [*without(sent, "Authorization"), ("Authorization", "Bearer " + "0" * 64)],
        401,
        "token_needed",
    ),
    "two tokens": (lambda _, sent: [sent[1], *sent], 401, "token_needed"),
    "a token as a cookie": (
        lambda hub, sent: [
            *without(sent, "Authorization"),
            ("Cookie", f"token={hub.served.token}"),
        ],
        401,
        "token_needed",
    ),
    "an agent's token in another's name": (
        lambda hub, sent: [
            *without(sent, "Authorization"),
            ("Authorization", f"Bearer {hub.tokens[EVE]}"),
            ("X-Agent-Relay-Agent", ADA),
        ],
        403,
        "foreign_agent",
    ),
}
"""What no route answers but those that need no token."""

WITH_A_BAD_BODY: dict[str, tuple[Change, bytes, int, str]] = {
    "text": (
        lambda _, sent: [*without(sent, "Content-Type"), ("Content-Type", "text/plain")],
        b"{}",
        415,
        "not_json",
    ),
    "no media type": (lambda _, sent: without(sent, "Content-Type"), b"{}", 415, "not_json"),
    "gzip": (lambda _, sent: [*sent, ("Content-Encoding", "gzip")], b"{}", 415, "encoded_body"),
    "too large": (
        lambda _, sent: [*without(sent, "Content-Type"), ("Content-Type", "application/json")],
        b" " * (REQUEST_BYTES + 1),
        413,
        "request_too_large",
    ),
    "no JSON": (
        lambda _, sent: [*without(sent, "Content-Type"), ("Content-Type", "application/json")],
        b"{",
        400,
        "bad_json",
    ),
}
"""What no route reads, also where it reads no body."""


async def refuse(
    hub: Surface, route: str, change: Change, expected: tuple[int, str], body: bytes | None = None
) -> None:
    reply = await hub.ask(route, change(hub, hub.headers(route)), body=body)

    assert told(reply) == expected, route
    assert await hub.works()


@pytest.mark.parametrize("case", AT_THE_DOOR)
async def test_no_route_answers_who_comes_from_elsewhere(hub: Surface, case: str):
    change, *expected = AT_THE_DOOR[case]
    before = hub.dump()

    for route in TABLE:
        await refuse(hub, route, change, (expected[0], expected[1]))

    assert hub.dump() == before


@pytest.mark.parametrize("case", WITHOUT_A_RIGHT)
async def test_no_route_but_those_of_health_answers_without_a_right(hub: Surface, case: str):
    change, *expected = WITHOUT_A_RIGHT[case]
    before = hub.dump()

    for route in set(TABLE) - NEEDS_NO_TOKEN:
        await refuse(hub, route, change, (expected[0], expected[1]))

    assert hub.dump() == before


@pytest.mark.parametrize("case", WITH_A_BAD_BODY)
async def test_no_route_reads_a_body_that_is_none(hub: Surface, case: str):
    change, body, *expected = WITH_A_BAD_BODY[case]
    before = hub.dump()

    for route in set(TABLE) - {STREAM}:
        await refuse(hub, route, change, (expected[0], expected[1]), body)

    assert hub.dump() == before


STRANGERS: dict[tuple[int, str | None], set[str]] = {
    (200, None): {
        "GET /api/agents",
        "GET /api/agents/{agent_id}",
        "GET /api/messages/cursor",
        "GET /healthz",
        "GET /metrics",
        "GET /api/openapi.json",
        "GET /readyz",
    },
    (101, None): {STREAM},
    (403, "foreign_sender"): {"POST /api/messages"},
    (403, "foreign_agent"): {
        "DELETE /api/agents/{agent_id}",
        "GET /api/agents/{agent_id}/claims",
        "GET /api/agents/{agent_id}/deliveries",
        "GET /api/claims",
        "GET /api/dead",
        "GET /api/messages",
        "GET /api/pairs",
        "PATCH /api/agents/{agent_id}",
        "PATCH /api/agents/{agent_id}/ready",
        "PATCH /api/agents/{agent_id}/status",
        "PATCH /api/messages/{message_id}",
        "POST /api/agents",
        "POST /api/agents/{agent_id}/heartbeat",
        "POST /api/attempts",
        "POST /api/messages/{message_id}/claim",
        "POST /api/messages/{message_id}/claim/complete",
        "POST /api/messages/{message_id}/claim/fail",
        "POST /api/messages/{message_id}/claim/release",
        "POST /api/messages/{message_id}/claim/renew",
        "POST /api/pairs",
    },
    (403, "not_in_pair"): {
        "POST /api/pairs/{pair_id}/accept",
        "POST /api/pairs/{pair_id}/hangup",
        "POST /api/pairs/{pair_id}/messages",
        "POST /api/pairs/{pair_id}/reject",
    },
    (403, "user_only"): {
        "GET /api/guards",
        "GET /api/held",
        "GET /api/held/{delivery_id}",
        "PATCH /api/held/{delivery_id}",
        "POST /api/guards/{subject}/reset",
        "POST /api/held/{delivery_id}/approve",
        "POST /api/held/{delivery_id}/drop",
        "POST /api/tokens",
    },
    (404, "unknown_message"): {
        "GET /api/claims/{message_id}",
        "GET /api/messages/{message_id}",
        "GET /api/messages/{message_id}/thread",
        "POST /api/messages/{message_id}/cancel",
    },
    (404, "unknown_attempt"): {
        "GET /api/attempts/{attempt_id}/awaited",
        "POST /api/attempts/{attempt_id}/outcome",
        "POST /api/attempts/{attempt_id}/turn",
    },
    (404, "unknown_delivery"): {
        "POST /api/deliveries/{delivery_id}/annotations",
        "POST /api/deliveries/{delivery_id}/verdict",
    },
    (404, "unknown_dead_letter"): {
        "GET /api/dead/{delivery_id}",
        "POST /api/dead/{delivery_id}/drop",
        "POST /api/dead/{delivery_id}/retry",
    },
    (404, "unknown_pair"): {"GET /api/pairs/{pair_id}"},
}
"""What the token of an agent gets that has nothing to do with what it asks for."""


async def test_an_agents_token_gets_nothing_of_other_agents(hub: Surface):
    before, answered = hub.dump(), dict[tuple[int, str | None], set[str]]()

    for route in TABLE:
        reply = await hub.ask(route, hub.headers(route, hub.tokens[EVE]))
        answered.setdefault(told(reply), set()).add(route)
        assert b"hello" not in reply.body, route

    assert answered == STRANGERS
    assert hub.dump() == before
    assert await hub.works()


async def test_what_the_checks_are_tried_on_is_taken_from_the_user(tmp_path):
    # Else a route could be refused for another reason than the one that is tested.
    async with open_surface(tmp_path) as hub:
        told_user = {
            route: told(await hub.ask(route))
            for route in sorted(TABLE, key=lambda route: route.startswith("DELETE"))
        }

    assert {status for status, _ in told_user.values()} <= {101, 200, 201, 409}, told_user
    assert set(BODIES) | set(QUERIES) <= set(TABLE)
