"""A plugin acts for the agent of a session: as that agent, while its host serves it."""

from __future__ import annotations

import asyncio

import pytest

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import (
    ActingAgent,
    AdapterRegistrar,
    AgentPatch,
    ClaimState,
    Credential,
    DeliveryState,
    SendRequest,
    StaleEpoch,
    hookimpl,
)
from relay_core.hub_api import ClaimList, RegisterRequest
from relay_core.messages import AgentId
from relay_hub.callers import USER


class Speaker:
    """A plugin that speaks for the session in these tests."""

    register: AdapterRegistrar

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        self.register = register

    async def acting(self, within_s: float = PATIENCE_S) -> ActingAgent | None:
        return await self.register.acting("memory", KEY, within_s=within_s)

    async def agent(self) -> ActingAgent:
        found = await self.acting()
        assert found is not None
        return found


async def other(bench: Bench, name: str = "bob") -> AgentId:
    request = RegisterRequest(id=AgentId(name), instance_id="1")
    return (await bench.service.agents.register(request, USER)).agent.id


async def test_a_message_is_from_the_sessions_agent_whatever_the_plugin_says(bench: Bench):
    speaker = Speaker()
    async with running(bench.host(speaker)):
        own, bob = await bench.attach(), await other(bench)
        agent = await speaker.agent()
        sent = await agent.send(SendRequest(to=bob, body="x", from_=AgentId("somebody")))
        message = await agent.message(sent.id)

    assert (agent.agent_id, message.from_) == (own, own)
    assert message.sender.credential is Credential.AGENT


async def test_one_name_is_one_message_also_for_the_next_host(bench: Bench):
    speaker, next_speaker = Speaker(), Speaker()
    async with running(bench.host(speaker)):
        await bench.attach()
        await other(bench)
        request = SendRequest(to="bob", body="x")
        first = await (await speaker.agent()).send(request, once="call-1")
    async with running(bench.host(next_speaker)):
        again = await (await next_speaker.agent()).send(request, once="call-1")

    assert again.id == first.id


async def test_work_that_was_taken_is_renewed_until_it_is_ended(bench: Bench):
    speaker = Speaker()
    async with running(bench.host(speaker, renew_ms=200)):
        own = await bench.attach()
        agent = await speaker.agent()
        sent = await bench.hub.send(SendRequest(to=own, body="w", claimable=True))
        await bench.becomes(sent.id, DeliveryState.DELIVERED)
        taken = (await agent.claims())[0]
        again = await agent.claim(sent.id)
        async with asyncio.timeout(PATIENCE_S):
            while (await agent.claims())[0].token == again.token:
                await asyncio.sleep(0.01)
        done = await agent.complete(sent.id, "a result")

    assert taken.message_id == sent.id
    assert again.token > taken.token
    assert (done.state, done.result) == (ClaimState.DONE, "a result")
    assert await bench.service.claims.held_by(own, USER) == ClaimList(claims=())


async def test_a_label_stays_as_if_the_user_had_set_it(bench: Bench):
    speaker = Speaker()
    async with running(bench.host(speaker)):
        own = await bench.attach()
        agent = await speaker.agent()
        await agent.change(AgentPatch(label="ada", tags=("x",)))
        assert agent.session().label == "ada"
    async with running(bench.host()):
        shown = await bench.service.agents.one(own, USER)

    assert (shown.label, shown.tags) == ("ada", ("x",))


async def test_of_a_session_that_is_not_there_nobody_acts(bench: Bench):
    speaker = Speaker()
    async with running(bench.host(speaker)):
        assert await speaker.acting(0) is None
        await bench.attach()
        assert await speaker.acting(0) is not None


async def test_a_host_that_was_taken_over_acts_no_more(bench: Bench):
    speaker = Speaker()
    async with running(bench.host(speaker)):
        own = await bench.attach()
        agent = await speaker.agent()
        await other(bench, own)
        with pytest.raises(StaleEpoch):
            await agent.send(SendRequest(to=own, body="x"))
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].connection != "fenced":
                await asyncio.sleep(0.01)
        with pytest.raises(StaleEpoch):
            await speaker.acting()
