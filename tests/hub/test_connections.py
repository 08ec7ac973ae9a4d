"""How many connections the hub holds open at once, as sockets."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
import pytest_asyncio

from hub_kit import Served, served_hub
from raw_http import exchange, read_reply, request
from relay_hub.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    limits = Limits(connections=MOST, header_timeout_ms=60_000)
    async with served_hub(tmp_path_factory.mktemp("hub"), limits) as served:
        yield served


def agents(hub: Served) -> bytes:
    headers = [("Host", f"127.0.0.1:{hub.port}"), ("Authorization", f"Bearer {hub.token}")]
    return request("GET", "/api/agents", headers)


def opened(hub: Served, held: ExitStack) -> socket.socket:
    """A connection that the hub has answered on, and so holds."""
    connection = socket.create_connection(("127.0.0.1", hub.port), timeout=20)
    held.enter_context(connection)
    connection.sendall(agents(hub))
    assert read_reply(connection).status == 200
    return connection


async def test_one_connection_too_many_is_refused_and_the_others_go_on(hub):
    def fill() -> None:
        with ExitStack() as held:
            first, *_ = [opened(hub, held) for _ in range(MOST)]
            refused = exchange(hub.port, b"")
            assert refused.status == 503
            assert b"too_many_connections" in refused.body
            first.sendall(agents(hub))
            assert read_reply(first).status == 200

    await asyncio.to_thread(fill)


async def test_a_closed_connection_makes_room_for_the_next(hub):
    def again() -> None:
        for _ in range(200):
            reply = exchange(hub.port, agents(hub))
            if reply.status == 200:
                return
        pytest.fail("the hub did not take a connection again")

    await asyncio.to_thread(again)
