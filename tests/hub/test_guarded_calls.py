"""Raw bytes against calls about pairs, dead letters and taking back: refused, nothing changed."""

import asyncio
import json

import pytest
import pytest_asyncio

from hub_kit import Served, served_hub
from raw_http import Reply, exchange, request
from relay_core.hub_api import PairAnswer, PairRequest, RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId

pytestmark = pytest.mark.asyncio(loop_scope="module")
"""One hub stands all of it: what is refused must leave it as it was."""

TABLES = ("pairs", "pair_seats", "messages", "deliveries", "transitions", "idempotency")
PAIR = "{pair}"
"""In a path: the pair that `a` and `b` are in."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as served:
        async with HubClient(served.url, served.token) as client:
            for name in "abcd":
                await client.register(RegisterRequest(id=AgentId(name), tags=("codex",)))
            await client.send(SendRequest(to="c", body="waits"))
            asked = PairRequest(from_=AgentId("a"), target="b")
            pair = await client.invite(asked)
            await client.accept_pair(pair.id, PairAnswer())
            served.pair = pair.id
        yield served


def headers(hub: Served) -> list[tuple[str, str]]:
    return [
        ("Host", f"127.0.0.1:{hub.port}"),
        ("Authorization", f"Bearer {hub.token}"),
        ("Content-Type", "application/json"),
    ]


def contents(hub: Served) -> list[tuple[object, ...]]:
    reader = hub.server.service.store._reader
    return [
        row
        for table in TABLES
        for row in reader.execute(f"SELECT '{table}', * FROM {table}").fetchall()  # noqa: S608 - named above
    ]


async def ask(hub: Served, method: str, path: str, body: bytes = b"", *more: tuple[str, str]):
    data = request(method, path.replace(PAIR, hub.pair), [*headers(hub), *more], body)
    return await asyncio.to_thread(exchange, hub.port, data)


def code(reply: Reply) -> str:
    told = json.loads(reply.body)
    assert "\n" not in told["detail"]
    assert "Traceback" not in told["detail"]
    return told["code"]


POSTS = {
    "no body": ("/api/pairs", b"", 400, "bad_json"),
    "a brace": ("/api/pairs", b"{", 400, "bad_json"),
    "a list": ("/api/pairs", b"[]", 422, "bad_fields"),
    "no target": ("/api/pairs", b'{"from":"c"}', 422, "bad_fields"),
    "a target that is a number": ("/api/pairs", b'{"from":"c","target":1}', 422, "bad_fields"),
    "a target that is a list": ("/api/pairs", b'{"from":"c","target":["d"]}', 422, "bad_fields"),
    "an empty target": ("/api/pairs", b'{"from":"c","target":""}', 422, "bad_target"),
    "a target with a NUL": ("/api/pairs", b'{"from":"c","target":"d\\u0000"}', 422, "bad_text"),
    "a long target": (
        "/api/pairs",
        json.dumps({"from": "c", "target": "d" * 2_000}).encode(),
        422,
        "too_long",
    ),
    "half a surrogate": ("/api/pairs", b'{"from":"c","target":"\\ud800"}', 400, "bad_json"),
    "a target twice": ("/api/pairs", b'{"from":"c","target":"d","target":"a"}', 400, "bad_json"),
    "several candidates": ("/api/pairs", b'{"from":"c","target":"codex"}', 422, "ambiguous_target"),
    "oneself": ("/api/pairs", b'{"from":"c","target":"c"}', 422, "to_self"),
    "no inviter": ("/api/pairs", b'{"target":"d"}', 422, "no_sender"),
    "an empty inviter": ("/api/pairs", b'{"from":"","target":"d"}', 422, "bad_agent_id"),
    "an inviter that is no id": (
        "/api/pairs",
        b'{"from":"c\\n","target":"d"}',
        422,
        "bad_agent_id",
    ),
    "the hub as inviter": ("/api/pairs", b'{"from":"hub","target":"d"}', 404, "unknown_agent"),
    "a stranger as inviter": ("/api/pairs", b'{"from":"x","target":"d"}', 404, "unknown_agent"),
    "a busy invitee": ("/api/pairs", b'{"from":"c","target":"a"}', 409, "pair_busy"),
    "an objective that is no text": (
        "/api/pairs",
        b'{"from":"c","target":"d","objective":{"x":1}}',
        422,
        "bad_fields",
    ),
    "an objective with an escape": (
        "/api/pairs",
        b'{"from":"c","target":"d","objective":"\\u001b[2J"}',
        422,
        "bad_text",
    ),
    "an objective that is a book": (
        "/api/pairs",
        json.dumps({"from": "c", "target": "d", "objective": "x" * 1_001}).encode(),
        422,
        "too_long",
    ),
    "an epoch that is text": (
        "/api/pairs",
        b'{"from":"c","target":"d","epoch":"1"}',
        422,
        "bad_fields",
    ),
    "an old epoch": ("/api/pairs", b'{"from":"c","target":"d","epoch":0}', 409, "stale_epoch"),
    "accepting as a list": (f"/api/pairs/{PAIR}/accept", b"[]", 422, "bad_fields"),
    "accepting as a number": (f"/api/pairs/{PAIR}/accept", b'{"agentId":1}', 422, "bad_fields"),
    "accepting as two": (
        f"/api/pairs/{PAIR}/accept",
        b'{"agentId":"b","from":"a"}',
        422,
        "bad_fields",
    ),
    "accepting for another": (
        f"/api/pairs/{PAIR}/accept",
        b'{"agentId":"c"}',
        403,
        "not_in_pair",
    ),
    "rejecting what was accepted": (
        f"/api/pairs/{PAIR}/reject",
        b'{"agentId":"b"}',
        409,
        "pair_active",
    ),
    "accepting nothing": ("/api/pairs/pair-0/accept", b'{"agentId":"b"}', 404, "unknown_pair"),
    "accepting a NUL": ("/api/pairs/%00/accept", b'{"agentId":"b"}', 404, "unknown_pair"),
    "words of nobody": (f"/api/pairs/{PAIR}/messages", b'{"body":"x"}', 422, "no_sender"),
    "words of another": (
        f"/api/pairs/{PAIR}/messages",
        b'{"from":"c","body":"x"}',
        403,
        "not_in_pair",
    ),
    "no words": (f"/api/pairs/{PAIR}/messages", b'{"from":"a"}', 422, "bad_fields"),
    "words that are a number": (
        f"/api/pairs/{PAIR}/messages",
        b'{"from":"a","body":1}',
        422,
        "bad_fields",
    ),
    "too many words": (
        f"/api/pairs/{PAIR}/messages",
        json.dumps({"from": "a", "body": "x" * (256 * 1024 + 1)}).encode(),
        413,
        "body_too_large",
    ),
    "a subject of two lines": (
        f"/api/pairs/{PAIR}/messages",
        b'{"from":"a","body":"x","subject":"a\\nb"}',
        422,
        "bad_text",
    ),
    "an answer to what is elsewhere": (
        f"/api/pairs/{PAIR}/messages",
        b'{"from":"a","body":"x","replyTo":1}',
        422,
        "unknown_reply_to",
    ),
    "hanging up as another": (f"/api/pairs/{PAIR}/hangup", b'{"agentId":"c"}', 403, "not_in_pair"),
    "hanging up with a brace": (f"/api/pairs/{PAIR}/hangup", b"{", 400, "bad_json"),
    "retrying what is alive": ("/api/dead/1/retry", b"", 404, "unknown_dead_letter"),
    "dropping what is alive": ("/api/dead/1/drop", b"", 404, "unknown_dead_letter"),
    "retrying no number": ("/api/dead/1e0/retry", b"", 404, "not_found"),
    "retrying a huge number": ("/api/dead/9007199254740992/retry", b"", 404, "not_found"),
    "cancelling nothing": ("/api/messages/999/cancel", b"", 404, "unknown_message"),
    "cancelling no number": ("/api/messages/x/cancel", b"", 404, "not_found"),
}


@pytest.mark.parametrize("case", POSTS)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(hub: Served, case: str):
    path, body, status, word = POSTS[case]
    before = contents(hub)
    reply = await ask(hub, "POST", path, body, ("Idempotency-Key", case.replace(" ", "-")))

    assert (reply.status, code(reply)) == (status, word), reply
    assert contents(hub) == before
    assert (await ask(hub, "GET", f"/api/pairs/{PAIR}")).status == 200


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/pairs?state=over", 422, "bad_query"),
        ("/api/pairs?state=", 422, "bad_query"),
        ("/api/pairs?limit=501", 422, "bad_query"),
        ("/api/pairs?limit=-1", 422, "bad_query"),
        ("/api/pairs?before=pair-0", 404, "unknown_pair"),
        ("/api/pairs?agent=a&agent=b", 422, "bad_query"),
        ("/api/pairs/%00", 404, "unknown_pair"),
        ("/api/pairs/", 404, "not_found"),
        ("/api/dead?before=x", 422, "bad_query"),
        ("/api/dead?limit=501", 422, "bad_query"),
        ("/api/dead?for=%FF", 422, "bad_query"),
        ("/api/dead/-1", 404, "not_found"),
        ("/api/dead/0", 404, "unknown_dead_letter"),
        ("/api/dead/1", 404, "unknown_dead_letter"),
        ("/api/agents?limit=x", 422, "bad_query"),
        ("/api/agents?since=a&limit=501", 422, "bad_query"),
        ("/api/messages/1/thread?since=-1", 422, "bad_query"),
        ("/api/messages/1/thread?limit=501", 422, "bad_query"),
        ("/api/messages/999/thread", 404, "unknown_message"),
        ("/api/agents/c/deliveries?state=all&before=x", 422, "bad_query"),
    ],
)
async def test_what_cannot_be_listed_is_said_to(hub: Served, path: str, status: int, word: str):
    reply = await ask(hub, "GET", path)

    assert (reply.status, code(reply)) == (status, word), reply


async def test_a_broken_body_is_refused_also_where_none_is_needed(hub: Served):
    before = contents(hub)
    paths = ("/api/dead/1/retry", "/api/dead/1/drop", "/api/messages/1/cancel")
    replies = [await ask(hub, "POST", path, b"{") for path in paths]

    assert [(reply.status, code(reply)) for reply in replies] == [(400, "bad_json")] * 3
    assert contents(hub) == before
