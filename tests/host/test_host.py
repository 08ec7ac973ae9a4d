"""One host in process: attaching, remembering, stopping, and plugins that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from relay_core import (
    AdapterRegistrar,
    DeliveryState,
    Message,
    PluginConflict,
    Relay,
    RelayEvent,
    SendRequest,
    Session,
    SettingsError,
    Verdict,
    hookimpl,
)
from relay_core.clock import SystemClock, SystemRandom
from relay_core.control import ControlServer, HostRefused, HostUnreachable, call
from relay_core.discovery import check, new_manager
from relay_core.failpoints import unarmed
from relay_core.hooks import Hooks
from relay_core.host import Host as TheHost
from relay_core.host import HostSettings
from relay_core.host_api import AttachedList, DecisionList, HostStatus, Ping
from relay_core.messages import AgentId, DeliveryId
from relay_core.places import Places, find_places
from relay_core.seat import SidecarSettings
from relay_core.testing import MemoryAgent
from relay_core.workers import run_inline
from relay_hub.callers import USER
from relay_hub.local import LocalHub
from relay_hub.service import HubService
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore
from relay_plugins import channels, claims, delivery, prompt

KEY = "t-000000000001"
PATIENCE_S = 20.0


class Memory:
    """The plugin that brings the in-memory agent."""

    def __init__(self, agent: MemoryAgent) -> None:
        self.agent = agent

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        register.adapter(self.agent)


class Bench:
    """A hub in memory, an agent in memory, and as many hosts as a test starts on them."""

    def __init__(self, places: Places, service: HubService) -> None:
        self.places = places
        self.service = service
        self.hub = LocalHub(service)
        self.agent = MemoryAgent(SystemClock(), SystemRandom())

    def host(self, *plugins: object, agent: MemoryAgent | None = None) -> TheHost:
        manager = new_manager()
        built_in = {"relay.channels": channels, "relay.claims": claims}
        built_in |= {"relay.delivery": delivery, "relay.prompt": prompt}
        named = {**built_in, "memory": Memory(agent or self.agent)}
        named |= {f"test-{number}": plugin for number, plugin in enumerate(plugins)}
        for name, plugin in named.items():
            check(plugin, name)
            manager.register(plugin, name)
        return TheHost(
            HostSettings(
                version="1", hub_url="http://127.0.0.1:1", sidecar=SidecarSettings(repair_ms=200)
            ),
            places=self.places,
            environ={},
            hub=self.hub,
            hooks=Hooks(manager, runner=run_inline),
            control=ControlServer(self.places.control_socket),
            clock=SystemClock(),
            random=SystemRandom(),
            failpoint=unarmed,
        )

    async def ask(self, op: str, kind: type, body: object = None) -> object:
        return msgspec.json.decode(await call(self.places.control_socket, op, body), type=kind)

    async def attach(self) -> AgentId:
        attached = await self.ask("memory.attach", AttachedList, KEY)
        assert isinstance(attached, AttachedList)
        return attached.attached[0].agent_id

    async def send(self, to: str, body: str = "hello") -> int:
        return (await self.hub.send(SendRequest(to=to, body=body))).id

    async def becomes(self, message: int, state: DeliveryState) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                view = await self.service.messages.one(message, USER)
                if view.deliveries[0].state is state:
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(host: TheHost) -> AsyncIterator[TheHost]:
    task = asyncio.create_task(host.run())
    ready = asyncio.create_task(host.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        await task
    try:
        yield host
    finally:
        host.stop()
        await task


@pytest.fixture
def places(short_path: Path) -> Places:
    found = find_places({"AGENT_RELAY_HOME": str(short_path)}, 0)
    return msgspec.structs.replace(found, sockets=short_path / "s")


@pytest.fixture
async def bench(places: Places) -> AsyncIterator[Bench]:
    store = SqliteStore.in_memory(executor=InlineExecutor())
    service = await HubService.open(store, clock=SystemClock(), random=SystemRandom())
    yield Bench(places, service)
    await store.close()


async def test_an_attached_session_is_registered_and_gets_its_mail(bench: Bench):
    async with running(bench.host()):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)

    assert "hello" in bench.agent.threads[KEY].history[0].text


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
    assert slow.seen[:3] == ["Registered", "Arrived", "Delivered"]
