"""A whole relay for one test: hub, host, sidecars, plugins and an agent in memory, in one process.

It runs while a method of it runs and stands still in between, so a test is a plain function: it
sends, lets time pass, and looks. Time is virtual, hours pass at once, and the same test gives the
same run, unless `real_time` is asked for.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from relay_core.answers import Failure
from relay_core.clock import SystemClock, SystemRandom
from relay_core.control import ControlServer, body_of
from relay_core.deprecations import RelayDeprecated
from relay_core.discovery import DISTRIBUTION, Candidate, PluginReport, discover
from relay_core.events import RelayEvent
from relay_core.failpoints import unarmed
from relay_core.fence import parse
from relay_core.host import Host, HostSettings
from relay_core.host_api import AttachedList, SessionStatus
from relay_core.hub_api import MessageView, SendRequest
from relay_core.messages import AgentId, Delivery, DeliveryState, MessageId, Part
from relay_core.places import find_places
from relay_core.ports import Clock, HubPort, Random
from relay_core.seat import SidecarSettings
from relay_core.sessions import (
    Abilities,
    Policy,
    RegistrationPatch,
)
from relay_core.testing.decisions import Decisions, RecordingHooks
from relay_core.testing.loading import HarnessError, built_in, candidates
from relay_core.testing.memory_agent import ABLE, Item, MemoryAgent, MemoryThread
from relay_core.testing.running_host import (
    MEMORY,
    START_LIMIT_S,
    MemoryPlugin,
    NoSocket,
    OpenHub,
    RunningHost,
    hub_in_memory,
)
from relay_core.testing.virtual_time import (
    EPOCH_MS,
    SeededRandom,
    VirtualClock,
    utc_ms,
    virtual_runner,
)
from relay_core.workers import WorkerThread, run_inline

REPAIR_MS = 60_000
UNTIL_S = 3_600.0
FIRST_STEP_S = 0.01

T = TypeVar("T")


class Sent:
    """A message that a test sent."""

    def __init__(self, harness: Harness, message_id: MessageId) -> None:
        self._harness = harness
        self.id = message_id

    @property
    def view(self) -> MessageView:
        """The message and its deliveries, as the hub shows them now."""
        return self._harness.message(self)

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Where it stands with each recipient now."""
        return self.view.deliveries

    @property
    def state(self) -> DeliveryState:
        """Where it stands now; HarnessError when there is not exactly one recipient."""
        return self._one().state

    @property
    def reason(self) -> str | None:
        """Why it stands there, in one word."""
        return self._one().reason

    def _one(self) -> Delivery:
        found = self.deliveries
        if len(found) != 1:
            raise HarnessError(f"message {self.id} has {len(found)} recipients: see `deliveries`")
        return found[0]

    def __repr__(self) -> str:
        return f"<message {self.id}>"


class HarnessSession:
    """A session of the agent in memory, and its user."""

    def __init__(self, harness: Harness, key: str, agent_id: AgentId) -> None:
        self._harness = harness
        self._key = key
        self.agent_id = agent_id

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every text that the relay brought into the thread, oldest first."""
        return tuple(item.text for item in self._ours())

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every message in those texts, as it was shown: header and body."""
        return tuple(
            part for item in self._ours() for part in parse(item.text, str(item.attempt_id))
        )

    @property
    def history(self) -> tuple[str, ...]:
        """Every text in the thread, the user's own as well."""
        return tuple(item.text for item in self._thread.history)

    @property
    def status(self) -> SessionStatus:
        """The session as `agent-relay status` shows it now."""
        return self._harness.status(self)

    @property
    def context(self) -> str:
        """The text that the session is given when it starts."""
        return self._harness.context(self)

    def type(self, text: str) -> None:
        """Let the user type: a turn of the user's, or input to the running one."""
        self._harness.do(lambda agent: agent.type(self._key, text))

    def interrupt(self) -> None:
        """Let the user stop the running turn."""
        self._harness.do(lambda agent: agent.user_interrupts(self._key))

    def run_a_tool(self) -> None:
        """Let the running turn take nothing in and not end, until `end_tool`."""
        self._harness.do(lambda agent: agent.run_a_tool(self._key))

    def end_tool(self) -> None:
        """Let the running turn go on."""
        self._harness.do(lambda agent: agent.in_a_tool.discard(self._key))

    def end_turns_with(self, text: str) -> None:
        """Let the turns from now on end with these words of the agent's."""
        self._thread.final_text = text

    def crash(self, down_s: float = 1.0) -> None:
        """Kill the agent; after `down_s` seconds it is back, at rest."""
        self._harness.run(self._harness.agent.crash(self._key, down_s))

    def _ours(self) -> list[Item]:
        return [item for item in self._thread.history if item.attempt_id is not None]

    @property
    def _thread(self) -> MemoryThread:
        return self._harness.agent.threads[self._key]

    def __repr__(self) -> str:
        return f"<session {self.agent_id}>"


class Harness:
    """Runs a relay for one test; close it, or use it in a `with` block.

    Plugins are loaded and set up first; the first session, message or second that passes starts the
    host. The plugins that come with the relay are loaded as well, but for those that bring agents:
    sessions here are those that `open` opens. A plugin's fault fails the test, unless `strict` is
    False: then it is isolated as in a host, and `failures` has it.

    `folder` takes the files that a host keeps. `start` is the time at which virtual time begins
    (UTC where it names no zone). With `real_time` the clock is the machine's, plugins are called
    in a thread under their limits, and what waits for sockets works. `hub` is another hub than the
    one in memory.

    `decisions` is what the plugins were asked and answered, `events` what has happened, `failures`
    what plugins did wrong, `agent` the agent in memory, `clock` the time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        start: datetime | None = None,
        real_time: bool = False,
        strict: bool = True,
        seed: int = 0,
        hub: OpenHub | None = None,
    ) -> None:
        self.decisions = Decisions()
        self.events: list[RelayEvent] = []
        self.failures: list[Failure] = []
        self._folder = folder
        self._strict = strict
        self._real_time = real_time
        self._open_hub = hub
        self._runner = (
            asyncio.Runner(loop_factory=asyncio.new_event_loop) if real_time else virtual_runner()
        )
        start_ms = EPOCH_MS if start is None else utc_ms(start)
        self.clock: Clock = (
            SystemClock() if real_time else VirtualClock(start_ms, self._runner.get_loop())
        )
        self._random: Random = SystemRandom() if real_time else SeededRandom(seed)
        self.agent = MemoryAgent(self.clock, self._random)
        self._wanted: dict[str, RegistrationPatch] = {}
        self._under_test: list[Candidate] = []
        self._blocked: list[str] = []
        self._order: list[str] = []
        self._tables: dict[str, msgspec.Raw] = {}
        self._sidecar = SidecarSettings(repair_ms=REPAIR_MS)
        self._running: RunningHost | None = None
        self._sessions = 0

    # Before it starts ----------------------------------------------------------------------------

    def load(self, plugin: object, name: str | None = None) -> None:
        """Load a plugin: an installed one by its name, or a module or an instance.

        An object's plugin name is `name`, else what it calls itself. HarnessError when nothing of
        that name is installed, or the host runs already.
        """
        self._only_before("load plugins")
        self._under_test += candidates(plugin, name)

    def configure(self, plugin: str, **table: object) -> None:
        """Set the plugin's own table of config.toml."""
        self._only_before("configure plugins")
        self._tables[plugin] = body_of(table)

    def block(self, *names: str) -> None:
        """Load the plugins of these names not at all, as `plugins.block` does."""
        self._only_before("block plugins")
        self._blocked += names

    def order(self, *names: str) -> None:
        """Ask plugins in this order, as `plugins.order` does."""
        self._only_before("set the order")
        self._order += names

    def deliver_with(self, policy: Policy | None = None, **settings: object) -> None:
        """Set what `[delivery]` of config.toml says: the policy, or fields of `SidecarSettings`."""
        self._only_before("set how to deliver")
        if policy is not None:
            settings["policy"] = policy
        self._sidecar = msgspec.structs.replace(self._sidecar, **settings)

    # What a test does ----------------------------------------------------------------------------

    def open(
        self,
        cwd: str = "/projects/demo",
        *,
        label: str | None = None,
        tags: Sequence[str] = (),
        capabilities: Sequence[str] = (),
        channels: Sequence[str] = (),
        abilities: Abilities = ABLE,
    ) -> HarnessSession:
        """Open a session in a folder, at rest, and return when it is registered at the hub.

        What is given here is what the plugins under test did not set when it registered.
        """
        self._sessions += 1
        key = f"t-{self._sessions:012d}"
        self._wanted[key] = RegistrationPatch(
            label=label,
            tags=tuple(tags) or None,
            capabilities=tuple(capabilities) or None,
            channels=tuple(channels) or None,
        )
        self._start()
        thread = self.agent.open_thread(key, cwd)
        thread.abilities = abilities
        attached = self.run(self._ask("memory.attach", key, AttachedList))
        return HarnessSession(self, key, attached.attached[0].agent_id)

    def send(
        self,
        to: HarnessSession | str,
        body: str,
        *,
        from_: str | None = None,
        subject: str | None = None,
        channel: str | None = None,
        reply_to: Sent | int | None = None,
        claimable: bool = False,
        urgent: bool = False,
        type: str | None = None,  # noqa: A002 - the name that it has on the wire
        meta: Mapping[str, object] | None = None,
    ) -> Sent:
        """Send a message to a session or a target; returns as soon as the hub has stored it.

        Without `from_` the operator sends it; `from_` may be any agent's id.
        """
        self._start()
        answered = reply_to.id if isinstance(reply_to, Sent) else reply_to
        request = SendRequest(
            from_=None if from_ is None else AgentId(from_),
            to=to.agent_id if isinstance(to, HarnessSession) else to,
            body=body,
            subject=subject,
            channel=channel,
            reply_to=None if answered is None else MessageId(answered),
            claimable=claimable,
            urgent=urgent,
            type=type,
            meta=body_of(meta or {}),
        )
        return Sent(self, self.run(self._hub.send(request)).id)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._start()
        self.run(asyncio.sleep(seconds))

    def until(self, sent: Sent, *states: DeliveryState | str, within_s: float = UNTIL_S) -> None:
        """Let time pass until every delivery of a message is in one of these states.

        Without a state: until it is delivered. Looks again after a hundredth of the time that has
        passed. HarnessError when that takes longer than `within_s` seconds; it says where the
        deliveries are, and what was decided.
        """
        wanted = {DeliveryState(each) for each in states or (DeliveryState.DELIVERED,)}

        def there() -> bool:
            return all(each.state in wanted for each in sent.deliveries)

        def still() -> str:
            rows = [
                f"  {row.agent_id}: {row.state}{f' ({row.reason})' if row.reason else ''}"
                for row in sent.deliveries
            ]
            return "\n".join([f"message {sent.id} is", *rows])

        self._wait(there, still, within_s)

    def wait_for(
        self, what: str, condition: Callable[[], bool], *, within_s: float = UNTIL_S
    ) -> None:
        """Let time pass until something holds; HarnessError that names `what` otherwise."""

        self._wait(condition, lambda: f"{what}: it does not hold", within_s)

    def restart(self) -> None:
        """End the host and start another one, as after `down` and `up`; the hub goes on."""
        self._start()
        self.run(self._running_now.restart())

    def run(self, work: Awaitable[T]) -> T:
        """Run a coroutine in the relay's loop, for what this class has no method for."""

        async def given() -> T:
            return await work

        try:
            result = self._runner.run(given())
        finally:
            self._complain()
        return result

    def do(self, act: Callable[[MemoryAgent], object]) -> None:
        """Do something with the agent in memory, inside the relay's loop."""

        async def acting() -> None:
            act(self.agent)

        self._start()
        self.run(acting())

    # What a test looks at ------------------------------------------------------------------------

    @property
    def plugins(self) -> tuple[PluginReport, ...]:
        """What became of each plugin, as `agent-relay plugins` shows it."""
        self._start()
        return self._hooks.reports()

    def message(self, sent: Sent | int) -> MessageView:
        """A message and its deliveries, as the hub shows them now."""
        self._start()
        return self.run(self._hub.message(sent.id if isinstance(sent, Sent) else sent))

    def status(self, session: HarnessSession) -> SessionStatus:
        """A session as `agent-relay status` shows it now."""
        found = [
            each
            for each in self._running_now.host.status().sessions
            if each.agent_id == session.agent_id
        ]
        if not found:
            raise HarnessError(f"{session} is not served any more")
        return found[0]

    def context(self, session: HarnessSession) -> str:
        """The text that a session is given when it starts."""
        key = session.status.thread_id
        text = self.run(self._running_now.host.context(MEMORY, key, within_s=START_LIMIT_S))
        if text is None:
            raise HarnessError(f"{session} is not registered")
        return text

    def close(self) -> None:
        """End everything; harmless when it has ended."""
        try:
            if self._running is not None:
                running, self._running = self._running, None
                self._runner.run(running.stop())
                self.agent.end()
        finally:
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Inside --------------------------------------------------------------------------------------

    @property
    def _running_now(self) -> RunningHost:
        if self._running is None:
            raise HarnessError("nothing runs yet: open a session first")
        return self._running

    @property
    def _hub(self) -> HubPort:
        return self._running_now.hub

    def _only_before(self, what: str) -> None:
        if self._running is not None:
            raise HarnessError(f"{what} before the first session is opened or a message is sent")

    def _start(self) -> None:
        if self._running is not None:
            return
        self._running = running = RunningHost(self._new_host, self._open_hub or hub_in_memory())
        try:
            self.run(running.start(self.clock, self._random))
        except BaseException:
            self._running = None
            self._runner.run(running.stop())
            raise

    def _new_host(self, hub: HubPort) -> tuple[Host, ControlServer]:
        control = NoSocket(self._folder / "control.sock")
        places = find_places({"AGENT_RELAY_HOME": str(self._folder)}, 0)
        settings = HostSettings(
            version="0", hub_url="", sidecar=self._sidecar, plugin_tables=self._tables
        )
        host = Host(
            settings,
            places=places,
            environ={},
            hub=hub,
            hooks=self._new_hooks(),
            control=control,
            clock=self.clock,
            random=self._random,
            failpoint=unarmed,
        )
        return host, control

    def _new_hooks(self) -> RecordingHooks:
        memory = Candidate(
            name=MEMORY,
            distribution="relay-harness",
            version="0",
            load=lambda: MemoryPlugin(self.agent, self._wanted),
        )
        found = discover(
            (*built_in(), memory, *self._under_test),
            block=self._blocked,
            order=self._order,
            strict=self._strict,
        )
        theirs = [each for each in found.reports if each.distribution != DISTRIBUTION]
        for report in theirs:
            for note in report.notes:
                warnings.warn(f"plugin {report.name}: {note}", RelayDeprecated, stacklevel=2)
        self._hooks = RecordingHooks(
            found.manager,
            decisions=self.decisions,
            events=self.events,
            reports=found.reports,
            strict=self._strict,
            runner=WorkerThread() if self._real_time else run_inline,
            failed=self.failures.append,
        )
        return self._hooks

    async def _ask(self, op: str, body: object, kind: type[T]) -> T:
        return await self._running_now.ask(op, body, kind)

    def _wait(self, there: Callable[[], bool], still: Callable[[], str], within_s: float) -> None:
        self._start()
        began = self.clock.monotonic()
        while not there():
            passed_s = self.clock.monotonic() - began
            if passed_s >= within_s:
                decided = f"what was decided:\n{self.decisions}"
                raise HarnessError(f"after {within_s:g} s {still()}\n{decided}")
            step_s = FIRST_STEP_S if self._real_time else max(FIRST_STEP_S, passed_s / 100)
            self.run(asyncio.sleep(min(step_s, within_s - passed_s)))

    def _complain(self) -> None:
        """Fail the test for what a plugin did wrong, with what it raised as the cause."""
        if not self._strict or not self.failures:
            return
        failure = self.failures.pop(0)
        raised = self._hooks.raised
        cause = raised.pop(0) if raised else None
        raised.clear()
        self.failures.clear()
        where = f"plugin {failure.plugin}: {failure.hook}: {failure.detail}"
        raise HarnessError(where) from cause
