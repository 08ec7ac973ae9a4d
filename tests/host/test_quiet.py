"""A session that is quiet: nothing goes in, and then all of it as one turn."""

import asyncio

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import (
    AgentId,
    AgentPatch,
    DeliveryPlan,
    DeliveryState,
    MessageId,
    SendRequest,
    hookimpl,
)
from relay_core.clock import SystemClock

HOUR_MS = 3_600_000
OTHER = AgentId("builder")


async def quiet(bench: Bench, agent: AgentId, for_ms: int) -> None:
    until_ms = SystemClock().now_ms() + for_ms if for_ms else 0
    await bench.hub.change_agent(agent, AgentPatch(quiet_until=until_ms))


async def of_another(bench: Bench, agent: AgentId, body: str, **fields: bool) -> MessageId:
    request = SendRequest(to=agent, body=body, from_=OTHER, **fields)
    return (await bench.hub.send(request)).id


async def quiet_shown(bench: Bench) -> None:
    """Wait until the session knows that it is quiet."""
    async with asyncio.timeout(PATIENCE_S):
        while (await bench.sessions())[0].quiet_until_ms is None:
            await asyncio.sleep(0.01)


def texts(bench: Bench) -> list[str]:
    return [item.text for item in bench.agent.threads[KEY].history]


async def test_what_comes_in_during_a_quiet_is_one_digest_after_it(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        mail = [await of_another(bench, agent, f"body {number}") for number in range(3)]
        rows = [await bench.becomes(each, DeliveryState.HELD) for each in mail]
        meanwhile = texts(bench)
        await quiet(bench, agent, 0)
        done = [await bench.becomes(each, DeliveryState.DELIVERED) for each in mail]

    assert meanwhile == []
    assert {row.reason for row in rows} == {"quiet"}
    (text,) = texts(bench)
    assert "While this session was quiet, 3 messages came in" in text
    assert len({row.turn_id for row in done}) == 1


async def test_a_single_message_of_a_quiet_comes_whole(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        message = await of_another(bench, agent, "the one body")
        await bench.becomes(message, DeliveryState.HELD)
        await quiet(bench, agent, 0)
        await bench.becomes(message, DeliveryState.DELIVERED)

    (text,) = texts(bench)
    assert "the one body" in text
    assert "quiet" not in text


async def test_extending_a_quiet_keeps_held_what_is_held(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        message = await of_another(bench, agent, "later")
        first = await bench.becomes(message, DeliveryState.HELD)
        await quiet(bench, agent, 2 * HOUR_MS)
        later = await bench.row(message)

    assert (later.state, later.reason) == (DeliveryState.HELD, "quiet")
    assert (later.held_until_ms or 0) > (first.held_until_ms or 0)
    assert texts(bench) == []


async def test_a_quiet_that_ends_by_time_lets_all_of_it_in(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        mail = [await of_another(bench, agent, f"body {number}") for number in range(2)]
        for each in mail:
            await bench.becomes(each, DeliveryState.HELD)
        await quiet(bench, agent, 20)
        await asyncio.sleep(0.03)
        await bench.service.sweep()
        for each in mail:
            await bench.becomes(each, DeliveryState.DELIVERED)

    (text,) = texts(bench)
    assert "While this session was quiet, 2 messages came in" in text


async def test_the_users_own_words_come_through_a_quiet(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        held = await of_another(bench, agent, "of another")
        await bench.becomes(held, DeliveryState.HELD)
        mine = await bench.send(agent, "of the user")
        await bench.becomes(mine, DeliveryState.DELIVERED)

        assert (await bench.row(held)).state is DeliveryState.HELD
    (text,) = texts(bench)
    assert "of the user" in text


class NotYet:
    """A strategy that lets nothing in."""

    @hookimpl
    def choose_delivery(self) -> DeliveryPlan:
        return DeliveryPlan.wait("not yet")


async def test_what_waits_already_is_held_as_well_when_a_quiet_begins(bench: Bench):
    async with running(bench.host(NotYet())):
        agent = await bench.attach()
        waiting = await of_another(bench, agent, "waits")
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].waiting is None:
                await asyncio.sleep(0.01)
        await quiet(bench, agent, HOUR_MS)
        row = await bench.becomes(waiting, DeliveryState.HELD)

    assert row.reason == "quiet"


async def test_a_quiet_holds_over_a_restart_of_the_host(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await quiet(bench, agent, HOUR_MS)
        await quiet_shown(bench)
    async with running(bench.host()):
        message = await of_another(bench, agent, "later")
        row = await bench.becomes(message, DeliveryState.HELD, DeliveryState.DELIVERED)

    assert row.state is DeliveryState.HELD
