"""Asking over a real hub: who waits hears of the answer, whatever becomes of the connection."""

import asyncio

import pytest
import pytest_asyncio

from hub_kit import Served, served_hub
from relay_core.asking import Asked, ask, wait_for_answers
from relay_core.errors import HubRefused
from relay_core.hub_api import ClaimRequest, RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, Message, MessageId

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOUND_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with served_hub(tmp_path_factory.mktemp("hub")) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def client(hub: Served):
    async with HubClient(hub.url, hub.token) as made:
        for name in ("a", "b", "c"):
            await made.register(RegisterRequest(id=AgentId(name), instance_id=name))
        yield made


def question(to: str, body: str, **fields: object) -> SendRequest:
    return SendRequest(to=to, body=body, **fields)


async def arrived(client: HubClient, agent: str, body: str) -> Message:
    async with asyncio.timeout(BOUND_S):
        while True:
            for each in await client.newest(agent):
                if each.body == body:
                    return each
            await asyncio.sleep(0.01)


async def reply(client: HubClient, agent: str, to: Message, body: str) -> None:
    request = SendRequest(from_=AgentId(agent), to=to.from_, body=body, reply_to=to.id)
    await client.send(request)


def begin(client: HubClient, request: SendRequest) -> asyncio.Task[Asked]:
    return asyncio.create_task(ask(client, request, wait_s=BOUND_S))


async def test_the_operator_hears_every_answer(client: HubClient):
    asking = begin(client, question("broadcast", "all well?"))
    for name in ("a", "b", "c"):
        await reply(client, name, await arrived(client, name, "all well?"), f"{name} is")
    asked = await asking

    assert asked.complete
    assert sorted(each.text or "" for each in asked.answers) == ["a is", "b is", "c is"]


async def test_an_agent_asks_with_its_own_token(hub: Served, client: HubClient):
    token = await client.new_agent_token("a")
    async with HubClient(hub.url, token) as own:
        asking = begin(own, question("b", "from a?"))
        await reply(client, "b", await arrived(client, "b", "from a?"), "to a")
        asked = await asking

    assert [each.text for each in asked.answers] == ["to a"]


async def test_one_answer_to_a_claimable_question_ends_the_waiting(client: HubClient):
    asking = begin(client, question("broadcast", "who?", claimable=True))
    mail = await arrived(client, "b", "who?")
    epoch = (await client.agent("b")).epoch
    await client.claim(mail.id, ClaimRequest(agent_id=AgentId("b"), epoch=epoch))
    await reply(client, "b", mail, "I")
    asked = await asking

    assert asked.complete
    assert {each.agent_id: each.text for each in asked.answers} == {"a": None, "b": "I", "c": None}


async def test_what_came_while_the_connection_was_cut_is_heard(
    client: HubClient, monkeypatch: pytest.MonkeyPatch
):
    opened, real = [], client.open_stream

    async def cut_once():
        stream = await real()
        opened.append(stream)
        if len(opened) == 1:
            await stream.close()
        return stream

    monkeypatch.setattr(client, "open_stream", cut_once)
    asking = begin(client, question("a", "cut off?"))
    await reply(client, "a", await arrived(client, "a", "cut off?"), "not for long")
    asked = await asking

    assert [each.text for each in asked.answers] == ["not for long"]
    assert len(opened) > 1


async def test_an_answer_that_came_before_the_waiting_is_there_at_once(client: HubClient):
    sent = await client.send(question("a", "early?", type="request"))
    await reply(client, "a", await arrived(client, "a", "early?"), "yes")

    asked = await wait_for_answers(client, sent.id, wait_s=BOUND_S)
    assert [each.text for each in asked.answers] == ["yes"]
    answer = await client.message(asked.answers[0].reply_id or 0)
    assert (answer.deliveries[0].state, answer.deliveries[0].reason) == ("delivered", "read")


async def test_when_the_time_is_over_it_says_who_is_still_waited_for(client: HubClient):
    asked = await ask(client, question("a", "silence?"), wait_s=0.1)

    assert not asked.complete
    assert [(each.agent_id, each.state) for each in asked.answers] == [("a", "waiting")]


async def test_asking_twice_under_one_key_asks_once(client: HubClient):
    twice = [
        await ask(client, question("a", "once?"), wait_s=0.05, idempotency_key="k")
        for _ in range(2)
    ]

    assert twice[0].id == twice[1].id


async def test_what_the_hub_refuses_is_raised(client: HubClient):
    with pytest.raises(HubRefused):
        await ask(client, question("nobody", "?"), wait_s=BOUND_S)
    with pytest.raises(HubRefused):
        await wait_for_answers(client, MessageId(9_999), wait_s=BOUND_S)
