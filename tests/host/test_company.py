"""What a session is not given by itself: confirmations, and more turns for others than it has."""

import asyncio

import pytest

from host_bench import PATIENCE_S, Bench, running
from relay_core import DeliveryState, MessageId, SendRequest
from relay_core.host_api import DecisionList
from relay_core.hub_api import RegisterRequest
from relay_core.messages import ACK, AgentId, Delivery
from relay_core.waiting import WaitReason
from relay_hub.callers import USER
from relay_hub.limits import Limits


@pytest.fixture
def limits() -> Limits:
    return Limits(turns_per_hour=1)


async def said(bench: Bench, to: str, body: str, kind: str | None = None) -> MessageId:
    """Send as an agent of its own."""
    bob = AgentId("bob")
    await bench.service.agents.register(RegisterRequest(id=bob, instance_id="1"), USER)
    hub = bench.hub.as_agent(bob)
    return (await hub.send(SendRequest(to=to, body=body, type=kind))).id


async def why(bench: Bench, message: MessageId) -> str:
    found = await bench.ask("decisions", DecisionList, {"messageId": message})
    return b" ".join(bytes(each.answer) for each in found.decisions).decode()


async def waits(bench: Bench, reason: WaitReason) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await bench.sessions())[0].waiting != reason:
            await asyncio.sleep(0.01)


async def delivered(bench: Bench, message: MessageId) -> Delivery:
    return await bench.becomes(message, DeliveryState.DELIVERED)


async def test_a_confirmation_waits_for_company_and_then_shares_its_turn(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        ack = await said(bench, agent, "thank you", ACK)
        async with asyncio.timeout(PATIENCE_S):
            while "starts no turn" not in await why(bench, ack):
                await asyncio.sleep(0.01)
        (session,) = await bench.sessions()
        assert (await bench.row(ack)).state is DeliveryState.QUEUED
        assert (session.pending, session.waiting) == (1, None)

        word = await bench.send(agent, "now do this")
        rows = [await delivered(bench, each) for each in (word, ack)]

    assert rows[0].turn_id == rows[1].turn_id


async def test_when_its_turns_for_others_are_spent_a_session_gets_the_users_mail_alone(
    bench: Bench,
):
    async with running(bench.host()):
        agent = await bench.attach()
        await delivered(bench, await said(bench, agent, "one"))
        late = await said(bench, agent, "two")
        await waits(bench, WaitReason.TURNS_SPENT)
        await delivered(bench, await bench.send(agent, "from the user"))
        assert (await bench.row(late)).state is DeliveryState.QUEUED

        await bench.service.guards.reset(agent, USER)
        await delivered(bench, late)
