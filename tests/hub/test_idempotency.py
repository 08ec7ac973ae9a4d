"""The same request twice has one effect and one answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace

from hub_kit import Served, agent_caller, file_hub, memory_hub, served_hub
from relay_core.errors import HubRefused
from relay_core.hub_api import RegisterRequest, SendRequest, SendResponse
from relay_core.hub_client import HubClient
from relay_hub.callers import USER
from relay_hub.limits import DAY
from relay_hub.service import once

pytestmark = pytest.mark.asyncio(loop_scope="module")


def keyed(caller, key: str, body: bytes = b"{}", route: str = "/api/messages"):
    return replace(caller, once=once(caller, route, key, body))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as made:
        async with HubClient(made.url, made.token) as client:
            await client.register(RegisterRequest(id="a", instance_id="x"))
        yield made


async def post(served: Served, path: str, body: object, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url) as client:
        return await client.post(
            path, json=body, headers={"Authorization": f"Bearer {served.token}", **headers}
        )


MESSAGE = {"to": "a", "body": "once"}


async def test_the_same_key_and_body_answer_the_same_and_store_nothing(served: Served):
    first, second = [
        await post(served, "/api/messages", MESSAGE, **{"Idempotency-Key": "k1"}) for _ in range(2)
    ]

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert await served.server.service.messages.latest_id() == first.json()["id"]


async def test_the_same_key_with_another_body_is_refused(served: Served):
    await post(served, "/api/messages", MESSAGE, **{"Idempotency-Key": "k2"})
    other = await post(
        served, "/api/messages", {**MESSAGE, "body": "twice"}, **{"Idempotency-Key": "k2"}
    )

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\u00e9"])
async def test_a_key_that_is_none_is_refused(served: Served, key: str):
    answer = (
        await post(
            served,
            "/api/messages",
            MESSAGE,
            **{"Idempotency-Key": key.encode("latin-1").decode("latin-1")},
        )
        if key.isascii()
        else await _raw_key(served, key)
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_idempotency_key")


async def _raw_key(served: Served, key: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url) as client:
        return await client.post(
            "/api/messages",
            json=MESSAGE,
            headers=[
                (b"Authorization", f"Bearer {served.token}".encode()),
                (b"Idempotency-Key", key.encode("latin-1")),
            ],
        )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/messages/{id}/claim", {"agentId": "a", "epoch": 1}),
        ("/api/messages/{id}/claim/renew", {"agentId": "a", "epoch": 1}),
        ("/api/agents/a/heartbeat", {"epoch": 1}),
        ("/api/messages/{id}/claim/complete", {"agentId": "a", "epoch": 1}),
        ("/api/agents", {"id": "a", "instanceId": "x"}),
    ],
)
async def test_every_post_takes_a_key(served: Served, path: str, body: dict[str, object]):
    if "id" not in served.__dict__:
        sent = await post(served, "/api/messages", {**MESSAGE, "claimable": True})
        served.__dict__["id"] = sent.json()["id"]
    where = path.format(id=served.__dict__["id"])
    if "/claim/" in where:  # each of these may be the only one that its process runs
        await post(served, where.rpartition("/")[0], {"agentId": "a", "epoch": 1})
    answers = [await post(served, where, body, **{"Idempotency-Key": "same"}) for _ in range(2)]

    assert [answer.status_code // 100 for answer in answers] == [2, 2], answers[0].text
    assert answers[0].content == answers[1].content


async def test_two_with_the_same_key_at_once_have_one_effect(tmp_path):
    with ThreadPoolExecutor(1) as writer:
        hub = await file_hub(tmp_path / "hub.sqlite", writer)
        await hub.register("a")
        send = hub.service.messages.send
        request = SendRequest(to="a", body="x")
        results = await asyncio.gather(
            *(send(request, keyed(USER, "k")) for _ in range(3)), return_exceptions=True
        )
        latest = await hub.service.messages.latest_id()
        await hub.close()

    sent = [each for each in results if isinstance(each, SendResponse)]
    refused = [each for each in results if isinstance(each, HubRefused)]
    assert latest == len(sent) == 1
    assert [(each.status, each.code) for each in refused] == [(409, "idempotency_in_flight")] * 2
    assert refused[0].retry_after_s == 1


async def test_a_key_belongs_to_one_caller_and_one_route():
    hub = await memory_hub()
    await hub.register("a")
    await hub.register("b")
    request = SendRequest(to="b", body="x")
    for caller in (
        keyed(USER, "k"),
        keyed(agent_caller("a"), "k"),
        keyed(USER, "k", route="/api/elsewhere"),
    ):
        await hub.service.messages.send(request, caller)

    assert await hub.service.messages.latest_id() == 3
    await hub.close()


async def test_a_key_is_remembered_over_a_restart_and_for_seven_days(tmp_path):
    request = SendRequest(to="a", body="x")
    with ThreadPoolExecutor(1) as writer:
        hub = await file_hub(tmp_path / "hub.sqlite", writer)
        await hub.register("a")
        first = await hub.service.messages.send(request, keyed(USER, "k"))
        await hub.close()
        hub = await file_hub(tmp_path / "hub.sqlite", writer, hub.clock)
        await hub.wait(7 * DAY / 1_000 - 10)
        again = await hub.service.messages.send(request, keyed(USER, "k"))
        await hub.wait(3_700)
        later = await hub.service.messages.send(request, keyed(USER, "k"))
        await hub.close()

    assert [first.id, again.id, later.id] == [1, 1, 2]


async def test_a_refusal_is_not_remembered():
    hub = await memory_hub()
    request = SendRequest(to="a", body="x")
    with pytest.raises(HubRefused):
        await hub.service.messages.send(request, keyed(USER, "k"))
    await hub.register("a")

    sent = await hub.service.messages.send(request, keyed(USER, "k"))
    assert sent.id == 1
    await hub.close()
