"""What a client may cost the server before it has shown who it is, as bytes on a socket."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub_kit import Served, served_hub
from raw_http import Reply, exchange, read_all, read_reply, request
from relay_core.hub_api import RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_hub.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT_MS = 150
Headers = list[tuple[str, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    """A hub that gives up soon, so that no test waits for seconds."""
    limits = Limits(header_timeout_ms=SHORT_MS, body_timeout_ms=SHORT_MS, request_bytes=64 * 1024)
    async with served_hub(tmp_path_factory.mktemp("hub"), limits) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("patient")) as served:
        yield served


def good(hub: Served, *more: tuple[str, str]) -> Headers:
    return [
        ("Host", f"127.0.0.1:{hub.port}"),
        ("Authorization", f"Bearer {hub.token}"),
        ("Content-Type", "application/json"),
        *more,
    ]


def agents(hub: Served, *more: tuple[str, str]) -> bytes:
    return request("GET", "/api/agents", good(hub, *more))


def upgrade(hub: Served, *more: tuple[str, str], method: str = "GET", **changed: str) -> bytes:
    fields = {"version": "13", "key": "AAAAAAAAAAAAAAAAAAAAAA==", "path": "/api/stream"} | changed
    headers = good(
        hub,
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", fields["version"]),
        ("Sec-WebSocket-Key", fields["key"]),
        *more,
    )
    return request(method, fields["path"], headers)


def chunked(hub: Served, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = request("POST", "/api/messages", good(hub, ("Transfer-Encoding", "chunked")))
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks) + end


async def talk(hub: Served, *parts: bytes) -> bytes:
    """Send parts one after the other, and read until the hub closes."""

    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused while we were still sending
            return read_all(connection)

    return await asyncio.to_thread(run)


async def serves(hub: Served) -> None:
    assert (await asyncio.to_thread(exchange, hub.port, agents(hub))).status == 200
    assert await hub.server.service.messages.latest_id() == 0


def code(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    assert "\n" not in found["detail"]
    return int(head.split()[1]), found["code"]


REFUSED: dict[str, tuple[Callable[[Served], bytes], int, str]] = {
    "more headers than there may be": (
        lambda hub: agents(hub, *[("X", "1")] * 100),
        431,
        "head_too_large",
    ),
    "a header that is too long": (
        lambda hub: agents(hub, ("X", "x" * 16_384)),
        431,
        "head_too_large",
    ),
    "a header that does not end": (
        lambda hub: b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000_000,
        431,
        "head_too_large",
    ),
    "a path that does not end": (lambda hub: b"GET /" + b"x" * 2_000_000, 431, "head_too_large"),
    "headers after the body": (
        lambda hub: chunked(hub, b"{}", end=b"0\r\nIdempotency-Key: k\r\n\r\n"),
        400,
        "bad_http",
    ),
    "many headers after the body": (
        lambda hub: chunked(hub, b"{}", end=b"0\r\n" + b"X: 1\r\n" * 100_000),
        400,
        "bad_http",
    ),
    "a header after the body that does not end": (
        lambda hub: chunked(hub, b"{}", end=b"0\r\nX: " + b"x" * 2_000_000),
        413,
        "request_too_large",
    ),
    "a chunk's extension that does not end": (
        lambda hub: chunked(hub, b"{}", end=b"1;" + b"x" * 2_000_000),
        413,
        "request_too_large",
    ),
    "a chunk's size that is none": (lambda hub: chunked(hub, end=b"zz\r\n"), 400, "bad_http"),
    "a body in a coding": (
        lambda hub: (
            request("POST", "/api/messages", good(hub, ("Transfer-Encoding", "gzip, chunked")))
            + b"2\r\n{}\r\n0\r\n\r\n"
        ),
        415,
        "encoded_body",
    ),
    "a whole address as the path": (
        lambda hub: request("GET", "http://evil.example/api/agents", good(hub)),
        400,
        "bad_http",
    ),
    "an authority as the path": (
        lambda hub: request("CONNECT", "evil.example:80", good(hub)),
        400,
        "bad_http",
    ),
    "lines without returns": (
        lambda hub: agents(hub).replace(b"\r\n", b"\n"),
        400,
        "bad_http",
    ),
    "two lengths": (
        lambda hub: agents(hub, ("Content-Length", "2"), ("Content-Length", "3")) + b"{}",
        400,
        "bad_http",
    ),
    "a length and chunks": (
        lambda hub: agents(hub, ("Content-Length", "2"), ("Transfer-Encoding", "chunked")),
        400,
        "bad_http",
    ),
    "an upgrade with many headers": (
        lambda hub: upgrade(hub, *[("X", "1")] * 150),
        431,
        "head_too_large",
    ),
    "an upgrade with a long header": (
        lambda hub: upgrade(hub, ("X", "x" * 9_000)),
        431,
        "head_too_large",
    ),
    "an upgrade at a long path": (
        lambda hub: upgrade(hub, path="/api/stream?" + "x" * 3_000),
        414,
        "target_too_long",
    ),
    "an upgrade without a key": (lambda hub: upgrade(hub, key="x"), 400, "bad_upgrade"),
    "an upgrade with two keys": (
        lambda hub: upgrade(hub, ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")),
        400,
        "bad_upgrade",
    ),
    "an upgrade of another version": (lambda hub: upgrade(hub, version="7"), 400, "bad_upgrade"),
    "an upgrade that is no GET": (lambda hub: upgrade(hub, method="POST"), 405, "bad_upgrade"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_costs_too_much_is_refused_and_the_connection_closed(hub: Served, case: str):
    make, status, word = REFUSED[case]

    assert code(await talk(hub, make(hub))) == (status, word)
    await serves(hub)


async def dripped(hub: Served, first: bytes, drop: bytes) -> Reply:
    """Send a first part, then drops for as long as the hub takes them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)

    async def drip() -> None:
        while True:
            writer.write(drop)
            await asyncio.sleep(SHORT_MS / 1_000 / 10)

    writer.write(first)
    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionResetError:
        answer = b""
    finally:
        dripping.cancel()
        writer.transport.abort()
    head, _, body = answer.partition(b"\r\n\r\n")
    return Reply(status=int(head.split()[1]) if head else 0, head=head, body=body)


async def test_dripping_headers_and_bodies_do_not_hold_a_connection(hub: Served):
    head, body, served = await asyncio.gather(
        dripped(hub, b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        dripped(hub, chunked(hub, end=b""), b"1\r\n{\r\n"),
        asyncio.to_thread(exchange, hub.port, agents(hub)),
    )

    assert served.status == 200
    assert (head.status, body.status) == (408, 408)
    await serves(hub)


async def test_blank_lines_do_not_hold_a_connection(hub: Served):
    dripping = await dripped(hub, b"", b"\r\n")

    def run() -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as connection:
            connection.sendall(agents(hub))
            answer = read_reply(connection)
            connection.sendall(b"\r\n")
            return answer.status, read_all(connection)

    assert dripping.status == 0
    assert await asyncio.to_thread(run) == (200, b"")


async def test_a_connection_that_is_idle_after_an_answer_is_closed(tmp_path):
    async with served_hub(tmp_path, Limits(idle_timeout_ms=50)) as hub:
        assert (await talk(hub, agents(hub))).endswith(b"[]")


async def test_a_stream_outlives_the_time_that_its_headers_had(hub: Served):
    url = f"ws://127.0.0.1:{hub.port}/api/stream"
    async with connect(
        url, additional_headers={"Authorization": f"Bearer {hub.token}"}, proxy=None
    ) as stream:
        await asyncio.sleep(2 * SHORT_MS / 1_000)
        await stream.send("?")

        assert "bad_frame" in str(await stream.recv())


async def test_requests_in_one_piece_are_all_answered_in_their_order(patient: Served):
    whole = agents(patient) * 400 + request(
        "GET", "/nothing", good(patient, ("Connection", "close"))
    )
    cut = len(whole) - 20

    answers = await talk(patient, whole[:cut], whole[cut:])

    assert answers.count(b"HTTP/1.1 200 OK") == 400
    assert answers.count(b"HTTP/1.1 ") == 401
    assert b'"not_found"' in answers[answers.rindex(b"HTTP/1.1 ") :]


@pytest.mark.parametrize(
    "faulty",
    [b"GARBAGE\r\n\r\n", "trailer", "upgrade"],
)
async def test_a_fault_is_never_the_answer_to_the_request_before_it(patient: Served, faulty):
    if faulty == "trailer":
        faulty = chunked(patient, b"{}", end=b"0\r\nX: 1\r\n\r\n")
    elif faulty == "upgrade":
        faulty = upgrade(patient)

    answers = await talk(patient, agents(patient) * 3 + faulty + agents(patient))

    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"HTTP/1.1 ") == 3
    await serves(patient)


async def test_an_answer_that_nobody_reads_is_dropped(tmp_path):
    async with served_hub(tmp_path, Limits(answer_timeout_ms=50)) as hub:
        async with HubClient(hub.url, hub.token) as client:
            await client.register(RegisterRequest(id="a"))
            for _ in range(16):
                await client.send(SendRequest(to="a", body="x" * 250_000))
        inbox = request("GET", "/api/messages?for=a", good(hub))

        def run() -> None:
            with closing(socket.socket()) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                connection.settimeout(20)
                connection.connect(("127.0.0.1", hub.port))
                connection.sendall(inbox * 3)
                give_up = time.monotonic() + 20
                while time.monotonic() < give_up:
                    time.sleep(0.02)
                    connection.sendall(b"\r\n")  # says so once the hub has dropped us

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await asyncio.to_thread(run)
        assert (await asyncio.to_thread(exchange, hub.port, agents(hub))).status == 200


async def test_a_frame_in_endless_pieces_closes_the_stream(patient: Served):
    frames = b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 5_000

    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", patient.port), timeout=20) as connection:
            connection.sendall(upgrade(patient))
            assert read_reply(connection).status == 101
            connection.sendall(frames)
            return read_all(connection)

    closed = await asyncio.to_thread(run)

    assert (1009).to_bytes(2) in closed
    await serves(patient)


async def test_text_that_is_not_utf_8_closes_the_stream_without_a_word_in_the_log(
    patient: Served, caplog
):
    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", patient.port), timeout=20) as connection:
            connection.sendall(upgrade(patient))
            assert read_reply(connection).status == 101
            connection.sendall(b"\x81\x81\0\0\0\0\xff")
            return read_all(connection)

    closed = await asyncio.to_thread(run)

    assert (1007).to_bytes(2) in closed
    assert caplog.text == ""


async def test_a_stream_that_is_refused_is_no_fault_of_the_hub_in_its_log(patient: Served, caplog):
    answer = await talk(patient, upgrade(patient, ("Origin", "null")))

    assert code(answer) == (403, "foreign_origin")
    assert caplog.text == ""


async def test_a_stream_is_served_after_all_that(patient: Served):
    url = f"ws://127.0.0.1:{patient.port}/api/stream"
    headers = {"Authorization": f"Bearer {patient.token}"}
    async with connect(url, additional_headers=headers, proxy=None) as stream:
        await stream.send("{}")
        assert "bad_frame" in str(await stream.recv())
        await patient.server.stop()
        with pytest.raises(ConnectionClosed):
            await stream.recv()
