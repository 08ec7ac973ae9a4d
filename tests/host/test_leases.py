"""A claim lasts as long as its session: through long turns, approvals, restarts, and by hand."""

import asyncio

import pytest

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import DeliveryState, SendRequest
from relay_core.hub_api import Claim, ClaimRequest
from relay_core.messages import AgentId, ClaimState, MessageId
from relay_core.ports import SessionChanged
from relay_core.sessions import Activity
from relay_core.work import TaskView
from relay_hub.callers import USER

RENEW_MS = 200


async def work(bench: Bench, message_id: MessageId) -> TaskView:
    return await bench.service.claims.one(message_id, USER)


async def is_renewed(bench: Bench, message_id: MessageId) -> Claim:
    """Wait until the claim has been renewed twice from now on."""
    first = (await work(bench, message_id)).claim
    async with asyncio.timeout(PATIENCE_S):
        while (now := (await work(bench, message_id)).claim).token < first.token + 2:
            await asyncio.sleep(0.02)
    assert now.state is ClaimState.HELD
    return now


async def by_hand(bench: Bench, agent_id: AgentId) -> ClaimRequest:
    """What a person's command sends for an agent."""
    agent = await bench.service.agents.one(agent_id, USER)
    return ClaimRequest(agent_id=agent_id, instance_id=agent.instance_id, epoch=agent.epoch)


async def test_a_claim_is_renewed_through_a_long_turn_and_while_a_person_is_asked(bench: Bench):
    async with running(bench.host(renew_ms=RENEW_MS)):
        agent = await bench.attach()
        bench.agent.run_a_tool(KEY)
        sent = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        async with asyncio.timeout(PATIENCE_S):
            while (await work(bench, sent.id)).claim.state is not ClaimState.HELD:
                await asyncio.sleep(0.01)
        in_turn = await is_renewed(bench, sent.id)
        turn = bench.agent.threads[KEY].turn
        waiting = SessionChanged(key=KEY, activity=Activity.WAITING_FOR_USER, turn=turn)
        bench.agent._emit(waiting)
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].activity is not Activity.WAITING_FOR_USER:
                await asyncio.sleep(0.01)
        asked = await is_renewed(bench, sent.id)

    assert asked.token > in_turn.token
    assert [step.event for step in (await work(bench, sent.id)).events] == ["taken"]


async def test_a_claim_of_a_session_that_is_away_is_not_renewed(bench: Bench):
    async with running(bench.host(renew_ms=RENEW_MS)):
        agent = await bench.attach()
        sent = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        await bench.becomes(sent.id, DeliveryState.DELIVERED)
        await is_renewed(bench, sent.id)
        away = asyncio.create_task(bench.agent.crash(KEY, down_s=3_600))
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].activity is not Activity.AWAY:
                await asyncio.sleep(0.01)
        before = after = 0
        async with asyncio.timeout(PATIENCE_S):
            while not before or before != after:  # one may be on its way
                before = (await work(bench, sent.id)).claim.token
                await asyncio.sleep(RENEW_MS * 3 / 1_000)
                after = (await work(bench, sent.id)).claim.token
        away.cancel()


async def test_a_claim_that_a_person_took_is_renewed_by_the_agents_host(bench: Bench):
    async with running(bench.host(renew_ms=RENEW_MS)):
        agent = await bench.attach()
        sent = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        await bench.becomes(sent.id, DeliveryState.DELIVERED)
        request = await by_hand(bench, agent)
        await bench.hub.as_agent(agent).release(sent.id, request)
        await bench.hub.claim(sent.id, request)
        renewed = await is_renewed(bench, sent.id)

    assert renewed.agent_id == agent


@pytest.mark.parametrize("verb", ["release", "complete", "fail"])
async def test_work_that_a_person_ended_is_renewed_no_more(bench: Bench, verb: str):
    async with running(bench.host(renew_ms=RENEW_MS)):
        agent = await bench.attach()
        sent = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        await bench.becomes(sent.id, DeliveryState.DELIVERED)
        await is_renewed(bench, sent.id)
        request = await by_hand(bench, agent)
        ended = await getattr(bench.hub.as_agent(agent), verb)(sent.id, request)
        await asyncio.sleep(RENEW_MS * 3 / 1_000)
        after = (await work(bench, sent.id)).claim

    assert (after.state, after.token) == (ended.state, ended.token)


async def test_the_claim_that_a_sidecar_takes_hints_at_nothing(bench: Bench):
    hints: list[AgentId] = []
    bench.service.streams.mail = lambda agent_id, _: hints.append(agent_id)  # type: ignore[method-assign]
    async with running(bench.host()):
        agent = await bench.attach()
        sent = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        await bench.becomes(sent.id, DeliveryState.DELIVERED)

    assert hints == [agent], "of the message, and not of its claim"
