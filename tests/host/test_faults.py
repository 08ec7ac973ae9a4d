"""What a sidecar does when its hub, its adapter or a plugin fails between two steps."""

import asyncio

import msgspec
import pytest

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import (
    Attempt,
    DeliveryState,
    HandedOver,
    HubRefused,
    HubUnreachable,
    Injection,
    InjectionRefused,
    Message,
    SendRequest,
    Session,
    SessionMoved,
    SettingsError,
    StaleEpoch,
    Verdict,
    hookimpl,
)
from relay_core.clock import SystemClock, SystemRandom
from relay_core.hub_api import (
    AttemptRequest,
    Claim,
    ClaimRequest,
    RegisterRequest,
    VerdictRequest,
)
from relay_core.messages import AgentId, DeliveryId, MessageId
from relay_core.testing import MemoryAgent


async def test_a_sidecar_that_an_adapter_broke_begins_again_and_is_not_fenced_by_itself(
    bench: Bench,
):
    class Breaking(MemoryAgent):
        broken = 0

        async def inject(self, injection: Injection) -> HandedOver:
            Breaking.broken += 1
            if Breaking.broken == 1:
                raise LookupError("a fault of the adapter's")
            return await super().inject(injection)

    async with running(bench.host(agent=Breaking(SystemClock(), SystemRandom()))):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)
        (session,) = await bench.sessions()

    assert session.connection == "connected"
    assert Breaking.broken == 2


async def test_a_skip_that_the_hub_did_not_hear_is_said_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    class Never:
        @hookimpl
        def on_message(self, message: Message, session: Session) -> Verdict:
            del message, session
            return Verdict.skip("never\nof two lines")

    deaf = 0
    give = bench.hub.give_verdict

    async def lose_the_first(delivery_id: DeliveryId, verdict: VerdictRequest) -> None:
        nonlocal deaf
        deaf += 1
        if deaf == 1:
            raise HubUnreachable("the hub restarts")
        await give(delivery_id, verdict)

    monkeypatch.setattr(bench.hub, "give_verdict", lose_the_first)
    async with running(bench.host(Never())):
        agent = await bench.attach()
        message = await bench.send(agent)
        row = await bench.becomes(message, DeliveryState.SKIPPED)

    assert row.reason == "never of two lines"
    assert bench.agent.threads[KEY].history == []


async def test_a_hold_that_is_over_already_lets_the_message_through(bench: Bench):
    class Late:
        @hookimpl
        def on_message(self, message: Message, session: Session) -> Verdict:
            del message
            return Verdict.hold("late", until_ms=session.now - 1)

    async with running(bench.host(Late())):
        agent = await bench.attach()
        await bench.becomes(await bench.send(agent), DeliveryState.DELIVERED)


async def test_an_input_that_the_agent_refuses_for_ever_is_dead_with_one_word(bench: Bench):
    class Refusing(MemoryAgent):
        async def inject(self, injection: Injection) -> HandedOver:
            del injection
            raise InjectionRefused("memory", "no\nnever\x1b[31m" + "x" * 5_000, permanent=True)

    async with running(bench.host(agent=Refusing(SystemClock(), SystemRandom()))):
        agent = await bench.attach()
        row = await bench.becomes(await bench.send(agent), DeliveryState.DEAD)

    assert row.reason == "injection_refused"


async def test_a_session_that_always_moves_is_asked_more_and_more_rarely(bench: Bench):
    class Moving(MemoryAgent):
        asked = 0

        async def inject(self, injection: Injection) -> HandedOver:
            del injection
            Moving.asked += 1
            raise SessionMoved("memory", "it moved")

    async with running(bench.host(agent=Moving(SystemClock(), SystemRandom()))):
        agent = await bench.attach()
        message = await bench.send(agent)
        await asyncio.sleep(2)
        row = await bench.row(message)

    assert row.attempts == 0
    assert row.state in {DeliveryState.QUEUED, DeliveryState.INJECTING}
    assert 2 <= Moving.asked <= 8


async def test_a_remembered_session_that_cannot_be_attached_does_not_end_the_host(bench: Bench):
    class Locked(MemoryAgent):
        open = True

        async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
            if not Locked.open:
                raise SettingsError("the token file is gone")
            return await super().attach(request)

    async with running(bench.host(agent=Locked(SystemClock(), SystemRandom()))):
        await bench.attach()
    Locked.open = False

    async with running(bench.host(agent=Locked(SystemClock(), SystemRandom()))):
        await asyncio.sleep(0.5)
        status = await bench.status()

    assert (status.sessions, status.attachments) == ((), 1)


async def test_what_waited_while_a_session_was_away_comes_as_digests_and_nothing_else(
    bench: Bench,
):
    agent_id = AgentId("memory-demo-000000000001")
    await bench.hub.register(RegisterRequest(id=agent_id, instance_id="before"))
    sent = [await bench.send(agent_id, f"body number {number}.") for number in range(60)]
    await bench.pretend_away(agent_id, minutes=30)

    async with running(bench.host()):
        assert await bench.attach() == agent_id
        for message in sent:
            await bench.becomes(message, DeliveryState.DELIVERED)
        fresh = await bench.send(agent_id, "after the return")
        await bench.becomes(fresh, DeliveryState.DELIVERED)
        shown = [item.text for item in bench.agent.threads[KEY].history]

    assert [text for text in shown if "After all" in text] == []
    assert all("60 messages came in" in text for text in shown[:1])
    assert "after the return" in shown[-1]
    assert "came in" not in shown[-1]


async def test_urgent_mail_that_is_there_when_a_look_begins_interrupts_it(bench: Bench):
    bench.agent.open_thread(KEY)
    bench.agent.run_a_tool(KEY)
    bench.agent.type(KEY, "the user's own words")
    agent_id = AgentId("memory-demo-000000000001")
    await bench.hub.register(RegisterRequest(id=agent_id, instance_id="before"))
    async with running(bench.host()):
        assert await bench.attach() == agent_id
        await bench.becomes(await bench.send(agent_id, "no hurry"), DeliveryState.INJECTING)
    urgent = await bench.send(agent_id, "stop that", urgent=True)

    async with running(bench.host()):
        await bench.becomes(urgent, DeliveryState.DELIVERED)
        shown = "".join(item.text for item in bench.agent.threads[KEY].history)

    assert (shown.count("no hurry"), shown.count("stop that")) == (1, 1)
    assert shown.index("no hurry") < shown.index("stop that")


@pytest.mark.parametrize("code", ["attempt_open", "not_waiting", "stale_claim", "agent_busy"])
async def test_a_409_that_is_not_about_the_epoch_stops_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str
):
    refused = 0
    record = bench.hub.record_attempt

    async def refuse_the_first(request: AttemptRequest) -> Attempt:
        nonlocal refused
        refused += 1
        if refused == 1:
            raise HubRefused(409, code, "not now", delivery_ids=request.delivery_ids)
        return await record(request)

    monkeypatch.setattr(bench.hub, "record_attempt", refuse_the_first)
    async with running(bench.host()):
        agent = await bench.attach()
        await bench.becomes(await bench.send(agent), DeliveryState.DELIVERED)
        (session,) = await bench.sessions()

    assert session.connection == "connected"
    assert refused == 2


async def test_a_409_about_the_epoch_stops_the_sidecar_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    async def fence(_: AttemptRequest) -> Attempt:
        raise StaleEpoch("another instance registered")

    monkeypatch.setattr(bench.hub, "record_attempt", fence)
    async with running(bench.host()):
        agent = await bench.attach()
        message = await bench.send(agent)
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].connection != "fenced":
                await asyncio.sleep(0.01)

    assert (await bench.row(message)).state is DeliveryState.QUEUED


async def test_one_lost_claim_drops_one_message_and_not_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    claim = bench.hub.claim
    rival = await bench.hub.register(RegisterRequest(id=AgentId("rival"), instance_id="r"))

    async def be_late(message_id: MessageId, request: ClaimRequest) -> Claim:
        first = ClaimRequest(agent_id=rival.id, instance_id="r", epoch=rival.epoch)
        await claim(message_id, first)
        return await claim(message_id, request)

    monkeypatch.setattr(bench.hub, "claim", be_late)
    async with running(bench.host()):
        agent = await bench.attach()
        bench.agent.type(KEY, "the user's own words")
        bench.agent.run_a_tool(KEY)
        first = await bench.send(agent, "first,")
        work = await bench.hub.send(SendRequest(to="broadcast", body="errand", claimable=True))
        last = await bench.send(agent, "last.")
        bench.agent.in_a_tool.clear()
        for message in (first, last):
            await bench.becomes(message, DeliveryState.DELIVERED)
        rows = {row.agent_id: row for row in await bench.rows(work.id)}
        shown = "".join(item.text for item in bench.agent.threads[KEY].history)

    assert (rows[agent].state, rows[agent].reason) == (DeliveryState.SKIPPED, "claimed_by_other")
    assert (shown.count("first,"), shown.count("last."), shown.count("errand")) == (1, 1, 0)


async def test_a_claim_is_kept_over_a_restart_of_the_host(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        work = await bench.hub.send(SendRequest(to=agent, body="errand", claimable=True))
        await bench.becomes(work.id, DeliveryState.DELIVERED)
    renewed: list[MessageId] = []
    renew = bench.hub.renew

    async def watch(message_id: MessageId, request: ClaimRequest) -> Claim:
        renewed.append(message_id)
        return await renew(message_id, request)

    bench.hub.renew = watch  # type: ignore[method-assign]
    async with running(bench.host(renew_ms=100)):
        await bench.attach()
        async with asyncio.timeout(PATIENCE_S):
            while not renewed:
                await asyncio.sleep(0.01)

    assert renewed[0] == work.id


async def test_an_agent_that_the_hub_has_forgotten_registers_again_and_is_served(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        now_ms = SystemClock().now_ms()
        await bench.service.store.write(lambda tx: tx.delete_agent(agent, now_ms))
        async with asyncio.timeout(PATIENCE_S):
            while (await bench.sessions())[0].epoch != 2:
                await asyncio.sleep(0.01)
        await bench.becomes(await bench.send(agent), DeliveryState.DELIVERED)
        (session,) = await bench.sessions()

    assert session.connection == "connected"
