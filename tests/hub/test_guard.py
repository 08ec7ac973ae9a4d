"""Who may come in: raw bytes against a real server, nothing written, the next good one served."""

import asyncio
import json
from collections.abc import Callable

import pytest
import pytest_asyncio

from hub_kit import Served, served_hub
from raw_http import Reply, exchange, request
from relay_core.hub_api import RegisterRequest
from relay_core.hub_client import HubClient
from relay_hub.limits import Limits

GOOD = b'{"to":"a","body":"hello"}'
Headers = list[tuple[str, str]]


pytestmark = pytest.mark.asyncio(loop_scope="module")
"""One server stands all of it: what is refused must leave it able to serve the next request."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as served:
        async with HubClient(served.url, served.token) as client:
            await client.register(RegisterRequest(id="a"))
        yield served


def good(hub: Served) -> Headers:
    return [
        ("Host", f"127.0.0.1:{hub.port}"),
        ("Authorization", f"Bearer {hub.token}"),
        ("Content-Type", "application/json"),
    ]


def changed(headers: Headers, name: str, value: str | None) -> Headers:
    kept = [each for each in headers if each[0] != name]
    return kept if value is None else [*kept, (name, value)]


async def ask(hub: Served, data: bytes) -> Reply:
    return await asyncio.to_thread(exchange, hub.port, data)


async def rows(hub: Served) -> int:
    return await hub.server.service.messages.latest_id()


async def refuses(hub: Served, data: bytes, status: int, code: str | None) -> Reply:
    before = await rows(hub)
    reply = await ask(hub, data)
    assert (reply.status, _code(reply)) == (status, code), reply
    assert await rows(hub) == before
    assert (await ask(hub, request("POST", "/api/messages", good(hub), GOOD))).status == 201
    assert await rows(hub) == before + 1
    return reply


def _code(reply: Reply) -> str | None:
    if not reply.body:
        return None
    body = json.loads(reply.body)
    assert "\n" not in body["detail"]
    assert "Traceback" not in body["detail"]
    return body["code"]


HEADS: dict[str, tuple[Callable[[Served], Headers], int, str | None]] = {
    "no Host": (lambda hub: changed(good(hub), "Host", None), 421, "bad_host"),
    "another Host": (
        lambda hub: changed(good(hub), "Host", f"evil.example:{hub.port}"),
        421,
        "bad_host",
    ),
    "a Host with a final dot": (
        lambda hub: changed(good(hub), "Host", f"localhost.:{hub.port}"),
        421,
        "bad_host",
    ),
    "a Host as a number": (
        lambda hub: changed(good(hub), "Host", f"2130706433:{hub.port}"),
        421,
        "bad_host",
    ),
    "a Host of all interfaces": (
        lambda hub: changed(good(hub), "Host", f"0.0.0.0:{hub.port}"),
        421,
        "bad_host",
    ),
    "a Host without the port": (
        lambda hub: changed(good(hub), "Host", "127.0.0.1"),
        421,
        "bad_host",
    ),
    "a Host with another port": (
        lambda hub: changed(good(hub), "Host", "127.0.0.1:1"),
        421,
        "bad_host",
    ),
    "two Hosts": (lambda hub: [*good(hub), good(hub)[0]], 421, "bad_host"),
    "a second, wrong Host": (
        lambda hub: [*good(hub), ("Host", "evil.example")],
        421,
        "bad_host",
    ),
    "a page's Origin": (
        lambda hub: [*good(hub), ("Origin", "https://evil.example")],
        403,
        "foreign_origin",
    ),
    "an Origin that looks like the hub's": (
        lambda hub: [*good(hub), ("Origin", f"http://127.0.0.1:{hub.port}")],
        403,
        "foreign_origin",
    ),
    "a null Origin": (lambda hub: [*good(hub), ("Origin", "null")], 403, "foreign_origin"),
    "a fetch across sites": (
        lambda hub: [*good(hub), ("Sec-Fetch-Site", "cross-site")],
        403,
        "foreign_origin",
    ),
    "a fetch of the same site": (
        lambda hub: [*good(hub), ("Sec-Fetch-Site", "same-origin")],
        403,
        "foreign_origin",
    ),
    "no token": (
        lambda hub: changed(good(hub), "Authorization", None),
        401,
        "token_needed",
    ),
    "a wrong token": (
        lambda hub: changed(good(hub), "Authorization", "Bearer " + "0" * 64),
        401,
        "token_needed",
    ),
    "a token of another length": (
        lambda hub: changed(good(hub), "Authorization", "Bearer 0"),
        401,
        "token_needed",
    ),
    "a bearer without a token": (
        lambda hub: changed(good(hub), "Authorization", "Bearer"),
        401,
        "token_needed",
    ),
    "another scheme": (
        lambda hub: changed(good(hub), "Authorization", f"Basic {hub.token}"),
        401,
        "token_needed",
    ),
    "a token twice": (lambda hub: [*good(hub), good(hub)[1]], 401, "token_needed"),
    "two tokens in two ways": (
        lambda hub: [*good(hub), ("X-Agent-Relay-Token", hub.token)],
        401,
        "token_needed",
    ),
    "a token in a cookie": (
        lambda hub: [*changed(good(hub), "Authorization", None), ("Cookie", f"token={hub.token}")],
        401,
        "token_needed",
    ),
    "gzip": (lambda hub: [*good(hub), ("Content-Encoding", "gzip")], 415, "encoded_body"),
    "identity": (lambda hub: [*good(hub), ("Content-Encoding", "identity")], 415, "encoded_body"),
    "text": (
        lambda hub: changed(good(hub), "Content-Type", "text/plain"),
        415,
        "not_json",
    ),
    "a form": (
        lambda hub: changed(good(hub), "Content-Type", "application/x-www-form-urlencoded"),
        415,
        "not_json",
    ),
    "no media type": (lambda hub: changed(good(hub), "Content-Type", None), 415, "not_json"),
    "two media types": (
        lambda hub: [*good(hub), ("Content-Type", "application/json")],
        415,
        "not_json",
    ),
    "another charset": (
        lambda hub: changed(good(hub), "Content-Type", "application/json; charset=utf-16"),
        415,
        "not_json",
    ),
    "headers of 64 KiB": (
        lambda hub: [*good(hub), ("X-Large", "x" * 65_536)],
        431,
        "head_too_large",
    ),
    "a thousand headers": (
        lambda hub: [*good(hub), *((f"X-{number}", "1") for number in range(1_000))],
        431,
        "head_too_large",
    ),
    "a header with a NUL": (lambda hub: [*good(hub), ("X-Nul", "a\0b")], 400, "bad_http"),
    "a negative length": (lambda hub: [*good(hub), ("Content-Length", "-1")], 400, "bad_http"),
}


@pytest.mark.parametrize("case", HEADS)
async def test_a_request_that_is_not_from_one_of_us_is_refused(hub: Served, case: str):
    make, status, code = HEADS[case]

    await refuses(hub, request("POST", "/api/messages", make(hub), GOOD), status, code)


BODIES: dict[str, tuple[bytes, int, str]] = {
    "none": (b"", 400, "bad_json"),
    "a brace": (b"{", 400, "bad_json"),
    "a list": (b"[]", 422, "bad_fields"),
    "a string": (b'"x"', 422, "bad_fields"),
    "null": (b"null", 422, "bad_fields"),
    "two values": (GOOD + GOOD, 400, "bad_json"),
    "garbage behind": (GOOD + b"x", 400, "bad_json"),
    "not a number": (b'{"to":"a","body":"x","ttlMs":NaN}', 400, "bad_json"),
    "infinity": (b'{"to":"a","body":"x","meta":{"n":Infinity}}', 400, "bad_json"),
    "a huge float": (b'{"to":"a","body":"x","meta":{"n":1e999}}', 400, "bad_json"),
    "a huge integer": (
        b'{"to":"a","body":"x","meta":{"n":' + b"9" * 5_000 + b"}}",
        400,
        "bad_json",
    ),
    "an integer that others round": (
        b'{"to":"a","body":"x","replyTo":9007199254740993}',
        400,
        "bad_json",
    ),
    "half a surrogate": (b'{"to":"a","body":"\\ud800"}', 400, "bad_json"),
    "half a surrogate in meta": (
        b'{"to":"a","body":"x","meta":{"k":"\\udc00x"}}',
        400,
        "bad_json",
    ),
    "a byte that is not UTF-8": (b'{"to":"a","body":"\xff"}', 400, "bad_json"),
    "UTF-16": ('{"to":"a","body":"x"}'.encode("utf-16"), 400, "bad_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, 400, "bad_json"),
    "a control character": (b'{"to":"a","body":"\x01"}', 400, "bad_json"),
    "a key twice": (b'{"to":"a","to":"b","body":"x"}', 400, "bad_json"),
    "a key twice, deep inside": (
        b'{"to":"a","body":"x","meta":{"m":[{"k":1,"k":2}]}}',
        400,
        "bad_json",
    ),
    "seventeen levels": (
        b'{"to":"a","body":"x","meta":' + b'{"k":' * 16 + b"1" + b"}" * 17,
        400,
        "bad_json",
    ),
    "a hundred thousand levels": (
        b'{"to":"a","body":"x","meta":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        400,
        "bad_json",
    ),
    "too many keys": (
        json.dumps(
            {"to": "a", "body": "x", "meta": dict.fromkeys(map(str, range(257)), 1)}
        ).encode(),
        400,
        "bad_json",
    ),
    "too many items": (
        json.dumps({"to": "a", "body": "x", "meta": {"k": [1] * 1_001}}).encode(),
        400,
        "bad_json",
    ),
    "a field of another type": (b'{"to":"a","body":"x","claimable":"true"}', 422, "bad_fields"),
    "a missing field": (b'{"to":"a"}', 422, "bad_fields"),
    "an id as text": (b'{"to":"a","body":"x","replyTo":"1"}', 422, "bad_fields"),
    "a fraction as an id": (b'{"to":"a","body":"x","replyTo":1.5}', 422, "bad_fields"),
    "a foreign from": (b'{"to":"a","body":"x","from":"a b"}', 422, "bad_agent_id"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_is_no_clean_json_is_refused(hub: Served, case: str):
    body, status, code = BODIES[case]

    await refuses(hub, request("POST", "/api/messages", good(hub), body), status, code)


async def test_brackets_inside_a_text_are_no_depth(hub: Served):
    body = json.dumps({"to": "a", "body": '[{"' * 100 + "\\" * 7}).encode()

    reply = await ask(hub, request("POST", "/api/messages", good(hub), body))

    assert reply.status == 201


async def test_an_agents_token_with_a_foreign_from_is_refused(hub: Served):
    token = await hub.server.service.tokens.make("a", _user())
    headers = changed(good(hub), "Authorization", f"Bearer {token}")
    body = b'{"to":"operator","body":"x","from":"operator"}'

    await refuses(hub, request("POST", "/api/messages", headers, body), 403, "foreign_sender")


def _user():
    from relay_hub.callers import USER

    return USER


@pytest.mark.parametrize("size", [512 * 1024 + 1, 3_000_000])
async def test_a_request_that_is_too_large_is_refused_before_it_is_read(hub: Served, size: int):
    body = b'{"to":"a","body":"' + b"x" * (size - 20) + b'"}'

    await refuses(hub, request("POST", "/api/messages", good(hub), body), 413, "request_too_large")


async def test_a_length_that_is_a_lie_is_refused_before_it_is_read(hub: Served):
    data = request("POST", "/api/messages", good(hub), GOOD, length="99999999999999999999999")
    served = await ask(hub, data)

    assert served.status in {400, 413}
    await refuses(hub, request("POST", "/api/messages", good(hub), b"[]"), 422, "bad_fields")


async def test_a_chunked_body_has_the_same_limit(hub: Served):
    headers = [*good(hub), ("Transfer-Encoding", "chunked")]
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    data = request("POST", "/api/messages", headers) + chunk * 20 + b"0\r\n\r\n"

    await refuses(hub, data, 413, "request_too_large")


async def test_a_chunked_body_within_the_limit_is_taken(hub: Served):
    headers = [*good(hub), ("Transfer-Encoding", "chunked")]
    data = request("POST", "/api/messages", headers)
    data += b"5\r\n" + GOOD[:5] + b"\r\n" + b"%x\r\n" % len(GOOD[5:]) + GOOD[5:] + b"\r\n0\r\n\r\n"

    assert (await ask(hub, data)).status == 201


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "//api/agents", 404, "not_found"),
        ("GET", "/API/agents", 404, "not_found"),
        ("GET", "/api/agents/", 404, "not_found"),
        ("GET", "/api/agents;x", 404, "not_found"),
        ("GET", "/api/x/../agents", 404, "not_found"),
        ("GET", "/api/agents/%00", 404, "unknown_agent"),
        ("GET", "/api/agents/%2e%2e%2fagents", 404, "not_found"),
        ("GET", "/api/messages/-1", 404, "not_found"),
        ("GET", "/api/messages/0", 404, "unknown_message"),
        ("GET", "/api/messages/1e3", 404, "not_found"),
        ("GET", "/api/messages/9223372036854775808", 404, "not_found"),
        ("GET", "/api/messages/%EF%BC%91", 404, "not_found"),
        ("GET", "/api/messages", 422, "bad_query"),
        ("GET", "/api/messages?for=a&for=b", 422, "bad_query"),
        ("GET", "/api/messages?for=a&since=-1", 422, "bad_query"),
        ("GET", "/api/messages?for=a&limit=1000000000", 422, "bad_query"),
        ("GET", "/api/messages?for=a&before=x", 422, "bad_query"),
        ("GET", "/api/messages?for=a&before=9&since=1", 422, "bad_query"),
        ("GET", "/api/agents/a/deliveries?state=gone", 422, "bad_query"),
        ("GET", "/api/stream", 426, "upgrade_required"),
        ("PUT", "/api/messages", 405, "bad_method"),
        ("DELETE", "/api/messages", 405, "bad_method"),
        ("OPTIONS", "/api/messages", 405, "bad_method"),
        ("TRACE", "/api/messages", 405, "bad_method"),
        ("GET", "/api/messages/" + "1" * 3_000, 414, "target_too_long"),
    ],
)
async def test_a_path_that_leads_nowhere_is_said_to(hub: Served, method, path, status, code):
    reply = await ask(hub, request(method, path, good(hub)))

    assert (reply.status, _code(reply)) == (status, code)


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"FOO BAR BAZ\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_in_one_line(hub: Served, data: bytes):
    await refuses(hub, data, 400, "bad_http")


async def test_a_header_without_end_is_refused(hub: Served):
    data = b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 20_000

    await refuses(hub, data, 431, "head_too_large")


async def test_how_many_headers_there_may_be_is_a_limit_of_its_own(tmp_path):
    async with served_hub(tmp_path, Limits(json_keys=2, headers=4)) as hub:
        headers = [*good(hub), ("X-A", "1")]
        as_many = await ask(hub, request("GET", "/api/agents", headers))
        one_more = await ask(hub, request("GET", "/api/agents", [*headers, ("X-B", "1")]))

    assert as_many.status == 200
    assert (one_more.status, _code(one_more)) == (431, "head_too_large")


async def test_slow_headers_and_slow_bodies_are_given_up(tmp_path):
    limits = Limits(header_timeout_ms=50, body_timeout_ms=50)
    async with served_hub(tmp_path, limits) as hub:
        head = await ask(hub, b"GET / HTTP/1.1\r\nHost: x\r\n")
        body = await ask(hub, request("POST", "/api/messages", good(hub), b"{", length="100"))
        silent = await ask(hub, b"")

    assert (head.status, _code(head)) == (408, "slow_head")
    assert (body.status, _code(body)) == (408, "slow_body")
    assert silent.status == 0


async def test_a_refusal_says_where_the_token_is_and_nothing_else(hub: Served):
    headers = changed(good(hub), "Authorization", None)
    paths = ["/api/agents", "/api/messages/1", "/nothing", "/metrics"]

    replies = [await ask(hub, request("GET", path, headers)) for path in paths]

    assert {reply.body for reply in replies} == {replies[0].body}
    assert str(hub.token_file) in json.loads(replies[0].body)["detail"]
    assert replies[0].header("www-authenticate") == "Bearer"
    assert hub.token.encode() not in replies[0].body


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_token_but_the_right_host_and_no_origin(hub: Served, path: str):
    host = [("Host", f"127.0.0.1:{hub.port}")]

    replies = [
        await ask(hub, request("GET", path, headers))
        for headers in (host, [("Host", "evil.example")], [*host, ("Origin", "null")])
    ]

    assert [reply.status for reply in replies] == [200, 421, 403]


@pytest.mark.parametrize("name", ["Authorization", "X-Agent-Relay-Token", "authorization"])
async def test_the_token_is_taken_in_either_header(hub: Served, name: str):
    value = hub.token if name.startswith("X") else f"bearer {hub.token}"
    headers = [*changed(good(hub), "Authorization", None), (name, value)]

    assert (await ask(hub, request("GET", "/api/agents", headers))).status == 200


async def test_a_request_cut_off_anywhere_leaves_nothing(hub: Served):
    before = await rows(hub)
    data = request("POST", "/api/messages", good(hub), GOOD)
    for cut in range(0, len(data), 7):
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(data[:cut])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    assert await rows(hub) == before
    assert (await ask(hub, data)).status == 201
