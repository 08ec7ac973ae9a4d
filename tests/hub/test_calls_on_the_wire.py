"""What the client asks over HTTP about pairs, dead letters and pages, and the hub's answers."""

import asyncio

import httpx
import pytest
import pytest_asyncio

from hub_kit import Served, served_hub
from relay_core.errors import HubRefused
from relay_core.hub_api import (
    INBOX_PAGE,
    AttemptRequest,
    Outcome,
    PairAnswer,
    PairMessageRequest,
    PairRequest,
    RegisterRequest,
    SendRequest,
)
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, AttemptId, DeliveryId, MessageId, PairState
from relay_hub.callers import USER

pytestmark = pytest.mark.asyncio(loop_scope="module")
A, B = AgentId("a"), AgentId("b")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: Served):
    async with HubClient(served.url, served.token) as made:
        for name in ("a", "b", "c"):
            await made.register(RegisterRequest(id=AgentId(name)))
        yield made
        for pair in await made.pairs(states=(PairState.PENDING, PairState.ACTIVE)):
            await made.hang_up(pair.id, PairAnswer())


async def killed(client: HubClient) -> DeliveryId:
    """A dead letter from `a` to `b`."""
    epoch = (await client.agent("b")).epoch
    sent = await client.send(SendRequest(to="b", body="x", from_=A))
    (delivery,) = sent.deliveries
    attempt = AttemptRequest(
        attempt_id=AttemptId(f"try-{sent.id}"),
        agent_id=B,
        thread_id="thread",
        delivery_ids=(delivery.id,),
        epoch=epoch,
    )
    await client.record_attempt(attempt)
    outcome = Outcome(outcome="failed", permanent=True, reason="no", agent_id=B, epoch=epoch)
    await client.report_outcome(attempt.attempt_id, outcome)
    return delivery.id


async def test_a_pair_from_the_invitation_to_the_end(client: HubClient):
    asked = await client.invite(PairRequest(from_=A, target="b", objective="look"))
    shown = await client.pair(asked.id)
    begun = await client.accept_pair(asked.id, PairAnswer(agent_id=B))
    words = PairMessageRequest(from_=B, body="what do you see?")
    sent = await client.send_to_pair(asked.id, words)
    message = await client.message(sent.id)
    of_a = await client.pairs("a", states=(PairState.ACTIVE,))
    over = await client.hang_up(asked.id, PairAnswer(agent_id=A))

    assert (asked.state, shown, begun.state) == (PairState.PENDING, asked, PairState.ACTIVE)
    assert (message.from_, message.to, message.pair_id) == ("b", "a", asked.id)
    assert (sent.deliveries[0].agent_id, sent.deliveries[0].away) == ("a", False)
    assert of_a == (begun,)
    assert (over.reason, over.ended_by) == ("hung_up", "a")
    assert await client.pairs("a", states=(PairState.PENDING, PairState.ACTIVE)) == ()
    assert over in await client.pairs("a")
    assert over not in await client.pairs("a", before=over.id)


async def test_an_invitation_that_is_turned_down(client: HubClient):
    asked = await client.invite(PairRequest(from_=A, target="c"))

    assert (await client.reject_pair(asked.id, PairAnswer())).reason == "rejected"


async def test_an_idempotency_key_invites_says_and_retries_once(client: HubClient):
    request = PairRequest(from_=A, target="b")
    asked = [await client.invite(request, idempotency_key="i") for _ in range(2)]
    await client.accept_pair(asked[0].id, PairAnswer())
    words = PairMessageRequest(from_=A, body="once")
    said = [await client.send_to_pair(asked[0].id, words, idempotency_key="m") for _ in range(2)]
    letter = await killed(client)
    retried = [await client.retry_dead(letter, idempotency_key="r") for _ in range(2)]

    assert asked[0] == asked[1]
    assert said[0] == said[1]
    assert retried[0] == retried[1]
    with pytest.raises(HubRefused, match="another body"):
        await client.invite(PairRequest(from_=A, target="c"), idempotency_key="i")


async def test_an_idempotency_key_accepts_and_hangs_up_once(served: Served, client: HubClient):
    asked = await client.invite(PairRequest(from_=A, target="b"))
    headers = {"Authorization": f"Bearer {served.token}", "Idempotency-Key": "k"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as raw:
        path = f"/api/pairs/{asked.id}"
        accepted = [await raw.post(f"{path}/accept", json={"agentId": "b"}) for _ in range(2)]
        hung_up = [await raw.post(f"{path}/hangup") for _ in range(2)]
        late = await raw.post(f"{path}/accept", json={"agentId": "b"})

    assert [each.json()["state"] for each in accepted] == ["active", "active"]
    assert hung_up[0].json() == hung_up[1].json()
    assert late.json() == accepted[0].json()


async def test_a_dead_letter_from_the_list_to_the_retry(client: HubClient):
    letter, dropped = await killed(client), await killed(client)
    listed = [each.delivery.id for each in await client.dead("b")]
    older = [each.delivery.id for each in await client.dead("b", before=dropped)]
    view = await client.dead_letter(letter)
    successor = await client.retry_dead(letter)
    gone = await client.drop_dead(dropped)
    left = [each.delivery.id for each in await client.dead()]

    assert listed[:2] == [dropped, letter]
    assert dropped not in older
    assert (view.message.body, view.attempts[0].outcome) == ("x", "failed")
    assert (successor.state, successor.agent_id) == ("queued", "b")
    assert gone.dropped_ms is not None
    assert not {letter, dropped} & set(left)
    assert await client.dead("a") == ()


async def test_a_message_is_taken_back(client: HubClient):
    sent = await client.send(SendRequest(to="c", body="x"))
    done = await client.cancel(sent.id)

    assert [(each.agent_id, each.result) for each in done.deliveries] == [("c", "cancelled")]
    assert (await client.message(sent.id)).deliveries[0].state == "cancelled"


async def test_a_conversation_comes_a_page_at_a_time(client: HubClient):
    root = await client.send(SendRequest(to="c", body="0"))
    reply = SendRequest(to="c", body="x", reply_to=root.id)
    sent = await asyncio.gather(*(client.send(reply) for _ in range(INBOX_PAGE)))
    replies = sorted(each.id for each in sent)
    first = await client.thread(replies[-1])
    second = await client.thread(replies[-1], since=first[-1].id)

    assert [each.id for each in first] == [root.id, *replies[:-1]]
    assert [each.id for each in second] == replies[-1:]
    assert second[0].deliveries[0].agent_id == "c"


async def test_a_conversation_is_not_shown_to_who_is_not_in_it(served: Served, client: HubClient):
    sent = await client.send(SendRequest(to="c", body="x"))
    token = await client.new_agent_token("b")
    async with HubClient(served.url, token) as other:
        with pytest.raises(HubRefused) as error:
            await other.thread(sent.id)

    assert (error.value.status, error.value.code) == (404, "unknown_message")


async def test_agents_come_a_page_at_a_time_and_all_of_them_without_one(
    served: Served, client: HubClient
):
    headers = {"Authorization": f"Bearer {served.token}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as raw:
        pages = [
            [each["id"] for each in (await raw.get("/api/agents", params=params)).json()]
            for params in ({}, {"limit": 2}, {"limit": 2, "since": "b"}, {"since": "c"})
        ]

    assert pages == [["a", "b", "c"], ["a", "b"], ["c"], []]


async def test_the_newest_deliveries_come_a_page_at_a_time(served: Served, client: HubClient):
    sent = [(await client.send(SendRequest(to="c", body="x"))).id for _ in range(4)]
    headers = {"Authorization": f"Bearer {served.token}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as raw:
        query = {"state": "queued", "limit": "2", "before": str(sent[3])}
        found = (await raw.get("/api/agents/c/deliveries", params=query)).json()["offers"]

    assert [each["message"]["id"] for each in found] == sent[1:3]


async def test_a_deleted_agent_leaves_its_pair_and_its_mail(served: Served, client: HubClient):
    await client.register(RegisterRequest(id=AgentId("d")))
    asked = await client.invite(PairRequest(from_=AgentId("d"), target="c"))
    waiting = await client.send(SendRequest(to="d", body="x", from_=A))
    await client.remove_agent("d")
    view = await served.server.service.messages.one(MessageId(waiting.id), USER)

    assert (await client.pair(asked.id)).reason == "agent_gone"
    assert (view.deliveries[0].state, view.deliveries[0].reason) == ("dead", "recipient_removed")
    with pytest.raises(HubRefused) as error:
        await client.agent("d")
    assert error.value.code == "unknown_agent"
