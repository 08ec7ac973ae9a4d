import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from relay_chat_forwarder import ChatForwarder

from relay_core.testing import Harness

URL = "http://127.0.0.1:8065/hooks/relay"


class Endpoint:
    """Takes batches, but while it is down."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.is_down = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("nobody listens", request=request)
        self.batches.append(json.loads(request.content))
        return httpx.Response(204)

    @property
    def notes(self) -> list[dict[str, Any]]:
        return [note for batch in self.batches for note in batch["notes"]]


@pytest.fixture
def endpoint(relay: Harness) -> Endpoint:
    endpoint = Endpoint()
    forwarder = ChatForwarder(httpx.MockTransport(endpoint), kept=5)
    relay.load(forwarder, "chat-forwarder")
    relay.configure("chat-forwarder", url=URL, events=["delivered"])
    return endpoint


def test_it_is_told_what_happened_and_to_which_message_without_its_text(
    relay: Harness, endpoint: Endpoint
):
    session = relay.open()
    sent = relay.send(session, "the build is green", from_="builder", subject="build")

    relay.wait_for("it is told", lambda: bool(endpoint.notes))

    (note,) = endpoint.notes
    assert note["event"]["type"] == "delivered"
    assert note["event"]["agentId"] == session.agent_id
    assert note["messages"] == [{"id": sent.id, "from": "builder", "subject": "build"}]
    assert endpoint.batches[0]["dropped"] == 0


def test_texts_and_other_events_are_told_where_the_table_says_so(
    relay: Harness, endpoint: Endpoint
):
    relay.configure("chat-forwarder", url=URL, events=["arrived", "turn_ended"], bodies=True)
    relay.send(relay.open(), "the build is green", from_="builder")

    relay.wait_for("both are told", lambda: len(endpoint.notes) == 2)

    assert [note["event"]["type"] for note in endpoint.notes] == ["arrived", "turn_ended"]
    assert {note["messages"][0]["body"] for note in endpoint.notes} == {"the build is green"}


def test_while_the_endpoint_is_down_deliveries_go_on_and_what_is_lost_is_counted(
    relay: Harness, endpoint: Endpoint
):
    endpoint.is_down = True
    session = relay.open()
    for number in range(9):
        relay.until(relay.send(session, f"message {number}", from_="builder"))

    endpoint.is_down = False
    relay.wait_for("it is told", lambda: len(endpoint.notes) == 6)

    told = [note["messages"][0]["id"] for note in endpoint.notes]
    assert told == [1, 5, 6, 7, 8, 9], "the first was on its way, five of eight were kept"
    assert [batch["dropped"] for batch in endpoint.batches] == [3, 0]


def test_at_the_end_of_the_host_what_is_left_is_told(relay: Harness, endpoint: Endpoint):
    endpoint.is_down = True
    relay.until(relay.send(relay.open(), "hello", from_="builder"))
    relay.advance(1)

    endpoint.is_down = False
    relay.close()

    assert len(endpoint.notes) == 1


@pytest.mark.relay(strict=False)
@pytest.mark.parametrize("url", ["http://192.0.2.1/hook", "http://chat.example.com/hook"])
def test_another_machine_hears_nothing_unless_that_is_allowed(
    relay: Harness, endpoint: Endpoint, url: str
):
    relay.configure("chat-forwarder", url=url, events=["delivered"])
    relay.until(relay.send(relay.open(), "hello"))
    relay.advance(60)

    assert endpoint.notes == []
    assert "is not on this machine" in relay.failures[0].detail


def test_another_machine_may_be_allowed(relay: Harness, endpoint: Endpoint):
    url = "http://chat.example.com/hook"
    relay.configure("chat-forwarder", url=url, events=["delivered"], allow_remote=True)
    relay.send(relay.open(), "hello")

    relay.wait_for("it is told", lambda: bool(endpoint.notes))


@pytest.fixture
def listening() -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """An endpoint that listens on this machine, and what it was posted."""
    posted: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", posted
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.relay(real_time=True)
def test_installed_and_in_real_time_it_tells_a_real_endpoint(
    relay: Harness, listening: tuple[str, queue.Queue[bytes]]
):
    url, posted = listening
    relay.load("chat-forwarder")
    relay.configure("chat-forwarder", url=url, events=["delivered"])
    relay.send(relay.open(), "hello", from_="builder")

    relay.wait_for("it is told", lambda: not posted.empty(), within_s=30)

    assert json.loads(posted.get())["notes"][0]["messages"][0]["from"] == "builder"
