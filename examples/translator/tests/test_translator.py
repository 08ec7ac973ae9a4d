import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from relay_translator import Translator

from relay_core.testing import Decisions, Harness, HarnessSession

ENGLISH = {"guten Tag": "good day", "der Bau ist grün": "the build is green"}

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


async def translated(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"translatedText": ENGLISH[json.loads(request.content)["q"]]})


def open_shop(relay: Harness, answer: Answer = translated) -> HarnessSession:
    """A session that reads English, where `builder` writes German."""
    relay.load(Translator(httpx.MockTransport(answer)), "translator")
    relay.configure(
        "translator",
        url="http://translator.invalid/translate",
        senders={"builder": "de"},
        sessions={"label:shop": "en"},
    )
    return relay.open(label="shop")


def test_a_message_comes_in_both_languages(relay: Harness, decisions: Decisions):
    session = open_shop(relay)
    sent = relay.send(session, "der Bau ist grün", from_="builder")

    relay.until(sent, within_s=30)

    (part,) = session.parts
    assert part.body == "the build is green\n\nThe original:\n\nder Bau ist grün"
    assert dict(part.header)["Translated"] == "de to en"
    assert decisions.of("on_message", message=sent.id, plugin="translator")[0].chosen
    assert decisions.chosen("format_prompt", message=sent.id).plugin == "translator"


def test_only_what_the_table_names_is_held(relay: Harness):
    session = open_shop(relay)
    other = relay.open(label="docs")

    for to, who in ((session, "tester"), (other, "builder")):
        sent = relay.send(to, "guten Tag", from_=who)
        relay.until(sent, within_s=30)
        assert to.parts[-1].body == "guten Tag"


async def too_slow(request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(3_600)
    return await translated(request)


async def refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody listens", request=request)


async def is_ill(request: httpx.Request) -> httpx.Response:  # noqa: ARG001 - what a transport calls
    return httpx.Response(503)


async def babbles(request: httpx.Request) -> httpx.Response:  # noqa: ARG001 - the same
    return httpx.Response(200, json={"hello": "there"})


async def never_stops(request: httpx.Request) -> httpx.Response:  # noqa: ARG001 - the same
    return httpx.Response(200, json={"translatedText": "bla " * 10_000})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (too_slow, "took too long"),
        (refuses, "did not answer as it should"),
        (is_ill, "did not answer as it should"),
        (babbles, "cannot be read"),
        (never_stops, "too long"),
    ],
)
def test_where_the_translator_fails_the_message_comes_as_it_is(
    relay: Harness, answer: Answer, why: str
):
    session = open_shop(relay, answer)
    sent = relay.send(session, "guten Tag", from_="builder")

    relay.until(sent, within_s=60)

    (part,) = session.parts
    assert part.body == "guten Tag"
    assert why in dict(part.header)["Not translated"]


def test_what_a_host_left_held_is_translated_by_the_next_one(relay: Harness):
    calls: list[httpx.Request] = []

    async def slow_at_first(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return await (too_slow if len(calls) == 1 else translated)(request)

    session = open_shop(relay, slow_at_first)
    sent = relay.send(session, "guten Tag", from_="builder")
    relay.until(sent, "held", within_s=5)

    relay.restart()
    relay.until(sent, within_s=120)

    assert session.parts[0].body.startswith("good day\n")


@pytest.fixture
def address() -> Iterator[str]:
    """A translator that listens on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps({"translatedText": ENGLISH[asked["q"]]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/translate"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.relay(real_time=True)
def test_installed_and_in_real_time_it_asks_a_real_server(relay: Harness, address: str):
    relay.load("translator")
    relay.configure("translator", url=address, senders={"*": "de"}, sessions={"*": "en"})
    session = relay.open()

    relay.until(relay.send(session, "guten Tag", from_="builder"), within_s=30)

    assert session.parts[0].body.startswith("good day\n")
