"""The push stream over a real websocket."""

import asyncio
import json
import socket

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub_kit import Served, served_hub
from raw_http import read_reply, request
from relay_core.hub_api import (
    ErrorFrame,
    Fence,
    RegisterRequest,
    SendRequest,
    WatchingFrame,
)
from relay_core.hub_api import Served as ServedAgent
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId
from relay_hub.callers import USER
from relay_hub.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOUND_S = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def client(hub: Served):
    async with HubClient(hub.url, hub.token) as made:
        yield made


def stream(hub: Served, **fields: object):
    headers = fields.pop("headers", {"Authorization": f"Bearer {hub.token}"})
    return connect(
        f"ws://127.0.0.1:{hub.port}/api/stream",
        additional_headers=headers,
        compression=None,
        proxy=None,
        **fields,
    )


async def frame(socket) -> dict[str, object]:
    return json.loads(await asyncio.wait_for(socket.recv(), BOUND_S))


async def serve(socket, *agents: tuple[str, int]) -> None:
    served = [{"id": name, "instanceId": "x", "epoch": epoch} for name, epoch in agents]
    await socket.send(json.dumps({"type": "serve", "agents": served}))


async def served(client: HubClient, name: str) -> None:
    async with asyncio.timeout(BOUND_S):
        while not (await client.agent(name)).reachable:
            await asyncio.sleep(0.01)


async def test_a_message_is_pushed_as_a_hint_and_its_receipt_comes_back(hub, client):
    agent = await client.register(RegisterRequest(id="pushed", instance_id="x"))
    async with stream(hub) as socket:
        await serve(socket, ("pushed", agent.epoch))
        await served(client, "pushed")
        sent = await client.send(SendRequest(to="pushed", body="hello"))
        mail = await frame(socket)
        await hub.server.service.messages.mark_read(sent.id, AgentId("pushed"), USER)
        receipt = await frame(socket)

    assert mail == {"type": "mail", "agentId": "pushed", "upTo": sent.id}
    assert (receipt["type"], receipt["messageId"], receipt["state"], receipt["sender"]) == (
        "receipt",
        sent.id,
        "delivered",
        "operator",
    )


async def test_who_watches_hears_of_mail_and_receipts_of_others_once(hub, client):
    agent = await client.register(RegisterRequest(id="watched", instance_id="x"))
    await client.register(RegisterRequest(id="unwatched", instance_id="x"))
    async with stream(hub) as socket:
        await serve(socket, ("watched", agent.epoch))
        await served(client, "watched")
        await socket.send('{"type":"watch","agents":["watched"]}')
        began = await frame(socket)
        await client.send(SendRequest(to="unwatched", body="not told"))
        sent = await client.send(SendRequest(to="watched", from_="unwatched", body="told"))
        mail = await frame(socket)
        await hub.server.service.messages.mark_read(sent.id, AgentId("watched"), USER)
        receipt = await frame(socket)
        await socket.send('{"type":"watch"}')
        again = await frame(socket)

    assert (began["type"], mail) == (
        "watching",
        {"type": "mail", "agentId": "watched", "upTo": sent.id},
    )
    assert (receipt["type"], receipt["agentId"], receipt["sender"]) == (
        "receipt",
        "watched",
        "unwatched",
    )
    assert again == {"type": "watching", "upTo": sent.id}


async def test_watching_all_is_for_the_user_and_makes_nobody_reachable(hub, client):
    await client.register(RegisterRequest(id="lonely"))
    await client.set_status(Fence(agent_id=AgentId("lonely"), epoch=1), "offline")
    token = await client.new_agent_token("lonely")
    async with HubClient(hub.url, token) as as_agent:
        watching = await as_agent.open_stream()
        await watching.watch(None)
        await watching.watch((AgentId("lonely"),))
        async with asyncio.timeout(BOUND_S):
            frames = watching.frames()
            told = [await anext(frames), await anext(frames)]
        reachable = (await client.agent("lonely")).reachable
        await watching.close()

    assert [type(each) for each in told] == [ErrorFrame, WatchingFrame]
    assert not reachable


async def test_a_second_instance_fences_the_first_on_its_stream(hub, client):
    first = await client.register(RegisterRequest(id="fenced", instance_id="1"))
    async with stream(hub) as socket:
        await serve(socket, ("fenced", first.epoch))
        await served(client, "fenced")
        await client.register(RegisterRequest(id="fenced", instance_id="2"))

        assert await frame(socket) == {"type": "fenced", "agentId": "fenced", "epoch": 2}


async def test_our_own_client_hears_what_the_hub_pushes(hub, client):
    agent = await client.register(RegisterRequest(id="own", instance_id="x"))
    pushed = await client.open_stream()
    await pushed.serve((ServedAgent(id=AgentId("own"), instance_id="x", epoch=agent.epoch),))
    await served(client, "own")
    await client.send(SendRequest(to="own", body="hello"))
    async with asyncio.timeout(BOUND_S):
        async for each in pushed.frames():
            assert each.agent_id == "own"
            break
    await pushed.close()
    found = await client.offers(Fence(agent_id=AgentId("own")))

    assert [offer.message.body for offer in found.offers] == ["hello"]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "null",
        "{}",
        '{"type":null}',
        '{"type":"serve"}',
        '{"type":"serve","agents":[{"id":"a"}]}',
        '{"type":"serve","agents":[{"id":"a","instanceId":"x","epoch":1e308}]}',
        "[" * 100_000,
        b"binary",
    ],
)
async def test_a_broken_frame_is_answered_and_the_stream_goes_on(hub, client, text):
    agent = await client.register(RegisterRequest(id="patient", instance_id="x"))
    async with stream(hub) as socket:
        await socket.send(text)
        answer = await frame(socket)
        await serve(socket, ("patient", agent.epoch))
        await served(client, "patient")

    assert (answer["type"], answer["code"]) == ("error", "bad_frame")
    assert "\n" not in str(answer["detail"])


async def test_a_frame_of_an_unknown_type_is_passed_over(hub, client):
    agent = await client.register(RegisterRequest(id="tolerant", instance_id="x"))
    async with stream(hub) as socket:
        await socket.send('{"type":"from-the-future","x":[1]}')
        await serve(socket, ("tolerant", agent.epoch))
        await served(client, "tolerant")
        await client.send(SendRequest(to="tolerant", body="x"))

        assert (await frame(socket))["type"] == "mail"


async def test_too_many_broken_frames_close_the_stream(hub):
    async with stream(hub) as socket:
        for _ in range(10):
            await socket.send("?")
            await frame(socket)
        with pytest.raises(ConnectionClosed) as closed:
            await frame(socket)

    assert closed.value.rcvd.code == 1008


async def test_a_frame_that_is_too_large_closes_the_stream(hub):
    async with stream(hub) as socket:
        await socket.send("x" * (512 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await frame(socket)

    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(
    ("headers", "origin", "status"),
    [
        ({}, None, 401),
        ({"Authorization": "Bearer 0"}, None, 401),
        (None, "null", 403),
        (None, "https://evil.example", 403),
    ],
)
async def test_the_guard_stands_before_the_handshake_too(hub, headers, origin, status):
    fields = {} if headers is None else {"headers": headers}
    with pytest.raises(InvalidStatus) as refused:
        async with stream(hub, origin=origin, **fields):
            pass

    assert refused.value.response.status_code == status


async def test_another_path_is_no_stream(hub):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            f"ws://127.0.0.1:{hub.port}/api/other",
            additional_headers={"Authorization": f"Bearer {hub.token}"},
            proxy=None,
        ):
            pass

    assert refused.value.response.status_code == 404


async def test_an_agents_token_serves_its_agent_alone(hub, client):
    agent = await client.register(RegisterRequest(id="scoped", instance_id="x"))
    await client.register(RegisterRequest(id="other", instance_id="x"))
    token = await hub.server.service.tokens.make(AgentId("scoped"), USER)
    async with stream(hub, headers={"Authorization": f"Bearer {token}"}) as socket:
        await serve(socket, ("other", 1))
        refused = await frame(socket)
        await serve(socket, ("scoped", agent.epoch))
        await served(client, "scoped")
        # The operator's receipts are not for it: the next frame is its own mail.
        sent = await client.send(SendRequest(to="other", body="x"))
        await hub.server.service.messages.mark_read(sent.id, AgentId("other"), USER)
        await client.send(SendRequest(to="scoped", body="x"))
        mail = await frame(socket)

    assert (refused["type"], refused["code"]) == ("error", "foreign_agent")
    assert mail["type"] == "mail"


async def test_a_reader_that_does_not_read_is_dropped_and_others_are_served(tmp_path):
    async with (
        served_hub(tmp_path, Limits(stream_buffer_bytes=64 * 1024)) as hub,
        HubClient(hub.url, hub.token) as client,
    ):
        agent = await client.register(RegisterRequest(id="a", instance_id="x"))
        loop = asyncio.get_running_loop()
        slow = socket.create_connection(("127.0.0.1", hub.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        handshake = request(
            "GET",
            "/api/stream",
            [
                ("Host", f"127.0.0.1:{hub.port}"),
                ("Authorization", f"Bearer {hub.token}"),
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ],
        )
        await loop.run_in_executor(None, slow.sendall, handshake)
        assert (await asyncio.to_thread(read_reply, slow)).status == 101
        streams = hub.server.service.streams
        async with asyncio.timeout(BOUND_S):
            while len(streams) < 1:
                await asyncio.sleep(0.01)
            while len(streams) > 0:
                for _ in range(2_000):
                    streams.mail(AgentId("operator"), 1)
                await asyncio.sleep(0)
        async with stream(hub) as good:
            await serve(good, ("a", agent.epoch))
            await served(client, "a")
            await client.send(SendRequest(to="a", body="x"))
            assert (await frame(good))["type"] == "mail"
        slow.close()


async def test_stopping_the_hub_ends_its_streams(tmp_path):
    async with served_hub(tmp_path) as hub:
        socket = await stream(hub)

    with pytest.raises(ConnectionClosed) as closed:
        await frame(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
