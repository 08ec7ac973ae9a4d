"""One host in process: attaching, remembering, stopping, and plugins that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import (
    AdapterRegistrar,
    DeliveryState,
    Message,
    PluginConflict,
    Relay,
    RelayEvent,
    Session,
    SettingsError,
    Verdict,
    hookimpl,
)
from relay_core.clock import SystemClock, SystemRandom
from relay_core.control import HostRefused, HostUnreachable
from relay_core.host_api import AttachedList, DecisionList, HostStatus, Ping
from relay_core.messages import AgentId, DeliveryId
from relay_core.testing import MemoryAgent
from relay_hub.callers import USER


async def test_a_thread_that_is_opened_in_another_folder_is_the_same_agent(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
    elsewhere = MemoryAgent(SystemClock(), SystemRandom())
    elsewhere.open_thread(KEY, "/another/folder")
    message = await bench.send(agent)
    async with running(bench.host(agent=elsewhere)):
        await bench.becomes(message, DeliveryState.DELIVERED)
        (session,) = await bench.sessions()

    assert session.agent_id == agent


class Asking:
    """A plugin that asks for the context of the session in these tests."""

    register: AdapterRegistrar

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        self.register = register

    async def ask(self, within_s: float) -> str | None:
        return await self.register.context("memory", KEY, within_s=within_s)


async def test_an_attached_session_is_registered_and_gets_its_mail(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)

    assert "hello" in bench.agent.threads[KEY].history[0].text


async def test_a_session_is_given_its_context_as_soon_as_it_is_registered(bench: Bench):
    asking = Asking()
    async with running(bench.host(asking)):
        early = asyncio.create_task(asking.ask(PATIENCE_S))
        agent = await bench.attach()

        assert agent in (await early or "")
        assert "agent-relay send" in (await asking.ask(PATIENCE_S) or "")


async def test_a_session_that_does_not_come_has_no_context(bench: Bench):
    asking = Asking()
    async with running(bench.host(asking)):
        assert await asking.ask(0.05) is None


async def test_a_session_is_attached_again_when_the_host_comes_back(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
    message = await bench.send(agent)

    async with running(bench.host(agent=MemoryAgent(SystemClock(), SystemRandom()))):
        await bench.becomes(message, DeliveryState.DELIVERED)


async def test_a_detached_session_is_forgotten(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        await bench.ask("memory.detach", AttachedList, {"agentId": agent})
        status = await bench.ask("status", HostStatus)

    assert isinstance(status, HostStatus)
    assert (status.sessions, status.attachments) == ((), 0)


async def test_detaching_what_is_not_attached_says_so(bench: Bench):
    async with running(bench.host()):
        with pytest.raises(HostRefused, match="nobody is not attached"):
            await bench.ask("memory.detach", AttachedList, {"agentId": "nobody"})


async def test_a_memory_that_cannot_be_read_refuses_the_start_and_keeps_the_file(bench: Bench):
    bench.places.state_file.parent.mkdir(parents=True)
    bench.places.state_file.write_text("{")
    bench.places.state_file.chmod(0o600)

    with pytest.raises(SettingsError, match=r"host\.json"):
        await bench.host().run()

    assert bench.places.state_file.read_text() == "{"


async def test_a_second_host_does_not_start(bench: Bench):
    async with running(bench.host()):
        with pytest.raises(Exception, match="already listens"):
            await bench.host().run()

        assert isinstance(await bench.ask("ping", Ping), Ping)


async def test_the_operation_stop_ends_the_host_and_removes_the_socket(bench: Bench):
    host = bench.host()
    task = asyncio.create_task(host.run())
    async with asyncio.timeout(PATIENCE_S):
        await host.ready.wait()
        await bench.ask("stop", Ping, {"handover": True})
        await task

    with pytest.raises(HostUnreachable):
        await bench.ask("ping", Ping)


async def test_an_agent_is_offline_after_a_stop_but_not_after_a_handover(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
    stopped = await status_of(bench, agent)
    host = bench.host()
    async with running(host):
        await until_status(bench, agent, {"idle", "busy"})
        host.stop(handover=True)

    assert stopped == "offline"
    assert await status_of(bench, agent) != "offline"


async def status_of(bench: Bench, agent: AgentId) -> str:
    return (await bench.service.agents.one(agent, USER)).status


async def until_status(bench: Bench, agent: AgentId, wanted: set[str]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await status_of(bench, agent) not in wanted:
            await asyncio.sleep(0.01)


async def test_every_plugins_answer_about_a_message_can_be_asked_for(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)
        found = await bench.ask("decisions", DecisionList, {"messageId": message})

    assert isinstance(found, DecisionList)
    chosen = {each.hook: each.plugin for each in found.decisions if each.chosen}
    assert chosen["choose_delivery"] == "relay.delivery"
    assert chosen["format_prompt"] == "relay.prompt"


async def test_two_plugins_cannot_answer_the_same_operation(bench: Bench):
    class Other:
        @hookimpl
        def register_adapters(self, register: AdapterRegistrar) -> None:
            register.adapter(MemoryAgent(SystemClock(), SystemRandom()))

    with pytest.raises(PluginConflict, match="'memory' belongs to plugin"):
        await bench.host(Other()).run()


async def test_an_operation_cannot_take_the_hosts_own_name(bench: Bench):
    class Greedy:
        @hookimpl
        def register_adapters(self, register: AdapterRegistrar) -> None:
            register.operation("stop", self.stop)

        async def stop(self, body: msgspec.Raw) -> msgspec.Raw:
            return body

    with pytest.raises(PluginConflict, match="'stop' is the host's own"):
        await bench.host(Greedy()).run()


async def test_an_operation_that_raises_is_answered_and_the_next_served(bench: Bench):
    class Clumsy:
        @hookimpl
        def register_adapters(self, register: AdapterRegistrar) -> None:
            register.operation("clumsy", self.fall)

        async def fall(self, _: msgspec.Raw) -> msgspec.Raw:
            raise LookupError("where is it")

    async with running(bench.host(Clumsy())):
        with pytest.raises(HostRefused, match="where is it"):
            await bench.ask("clumsy", Ping)

        assert isinstance(await bench.ask("ping", Ping), Ping)


async def test_a_plugin_can_hold_a_message_and_release_it(bench: Bench):
    class Keeper:
        def __init__(self) -> None:
            self.open = False
            self.relay: Relay | None = None

        @hookimpl
        def on_message(self, message: Message, session: Session) -> Verdict | None:
            del message, session
            return None if self.open else Verdict.hold("kept")

        @hookimpl
        @asynccontextmanager
        async def start(self, relay: Relay) -> AsyncIterator[None]:
            self.relay = relay
            yield

    keeper = Keeper()
    async with running(bench.host(keeper)):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.HELD)
        keeper.open = True
        assert keeper.relay is not None
        await keeper.relay.release(DeliveryId(1))
        await bench.becomes(message, DeliveryState.DELIVERED)


async def test_an_adapter_that_fails_is_tried_again_and_the_others_go_on(bench: Bench):
    class Falling(MemoryAgent):
        name = "falling"
        tries = 0

        async def sessions(self) -> AsyncIterator[object]:  # type: ignore[override]
            Falling.tries += 1
            raise LookupError("no such thing")
            yield

    class Other:
        @hookimpl
        def register_adapters(self, register: AdapterRegistrar) -> None:
            register.adapter(Falling(SystemClock(), SystemRandom()))

    async with running(bench.host(Other())):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)

    assert Falling.tries


async def test_a_slow_observer_does_not_delay_a_delivery(bench: Bench):
    class Slow:
        def __init__(self) -> None:
            self.seen: list[str] = []
            self.go = asyncio.Event()

        @hookimpl
        async def on_event(self, event: RelayEvent) -> None:
            await self.go.wait()
            self.seen.append(type(event).__name__)

    slow = Slow()
    async with running(bench.host(slow)):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)
        seen_before = list(slow.seen)
        slow.go.set()

    assert seen_before == []
    assert slow.seen[:2] == ["Registered", "Arrived"]
    assert "Delivered" in slow.seen
