"""The per-machine process: a sidecar for each session, one stream to the hub, the control
socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from relay_core import memory as memories
from relay_core import retry
from relay_core.acting import ActingAgent
from relay_core.call_trace import CallTrace
from relay_core.control import ControlServer, body_of
from relay_core.errors import HubError, PluginConflict, RelayError, StaleEpoch, WireError
from relay_core.hooks import Hooks
from relay_core.host_api import (
    Attached,
    AttachedList,
    DecisionList,
    DecisionsRequest,
    DetachRequest,
    HostStatus,
    Ping,
    PluginList,
    StopRequest,
    TraceRequest,
)
from relay_core.hub_api import Fence, FencedFrame, MailFrame, StreamFrame
from relay_core.memory import Attachment, Memory
from relay_core.messages import DeliveryId, Struct
from relay_core.places import Places
from relay_core.ports import (
    Adapter,
    Clock,
    Failpoints,
    HubPort,
    HubStream,
    Operation,
    Random,
    SessionClosed,
    SessionEvent,
    SessionSeen,
    Spawner,
)
from relay_core.recorded import DecisionRecord, NoRecord
from relay_core.registrar import NO_TABLE, Contributions, Power, Registrar
from relay_core.seat import Seams, SidecarSettings
from relay_core.sessions import Environment, Registration, RegistrationPatch
from relay_core.sidecar import Sidecar

log = logging.getLogger("relay.host")

REGISTER_WAIT_S = 30.0
"""How long `attach` waits for its session to be registered at the hub."""

GOODBYE_WAIT_S = 2.0
"""How long a stopping host lets its sessions say at the hub that they are gone."""

FINISH_WAIT_S = 5.0
"""How long a stopping host lets running attempts finish; what is cut off is resolved by the next
one."""


class HostSettings(Struct):
    """What a host is told at its start.

    `adapter_tables` and `plugin_tables` are tables of config.toml as JSON, by name.
    """

    version: str
    hub_url: str
    sidecar: SidecarSettings
    adapter_tables: dict[str, msgspec.Raw] = {}
    plugin_tables: dict[str, msgspec.Raw] = {}


class NotRegistered(RelayError):
    """A session was attached but could not be registered in time."""

    code = "not_registered"


class Host:
    """Runs a sidecar for each session that the adapters find, until it is told to stop."""

    def __init__(
        self,
        settings: HostSettings,
        *,
        places: Places,
        environ: Environment,
        hub: HubPort,
        hooks: Hooks,
        control: ControlServer,
        clock: Clock,
        random: Random,
        failpoint: Failpoints,
        spawn: Spawner = asyncio.create_task,
        record: DecisionRecord | None = None,
    ) -> None:
        self._spawn = spawn
        self._record = record or NoRecord()
        self._settings = settings
        self._places = places
        self._environ = environ
        self._hub = hub
        self._hooks = hooks
        self._control = control
        self._clock = clock
        self._random = random
        self._failpoint = failpoint
        self._contributions = Contributions()
        self._calls = CallTrace(hooks, clock)
        self._memory = Memory()
        self._errands: set[asyncio.Task[None]] = set()
        self._sidecars: dict[tuple[str, str], Sidecar] = {}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._stream: HubStream | None = None
        self._serve_again = asyncio.Event()
        self._sessions_changed = asyncio.Condition()
        self._stop = asyncio.Event()
        self._handover = False
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`; raises what makes a start impossible (a taken socket, a bad
        plugin)."""
        self._memory = memories.recall(self._places.state_file)
        self._hooks.register_adapters(self._registrar)
        self._register_operations()
        await self._control.open()
        try:
            async with self._hooks.start(self._power), asyncio.TaskGroup() as tasks:
                work = [self._keep_stream(), self._serve(), self._reattach(), self._record.keep()]
                work += map(self._watch, self._contributions.adapters.values())
                helpers = [tasks.create_task(each) for each in work]
                self.ready.set()
                await self._stop.wait()
                await self._finish()
                for helper in helpers:
                    helper.cancel()
        finally:
            await self._control.close()
            await self._calls.close()
            for adapter in self._contributions.adapters.values():
                await adapter.close()
            await self._record.flush()

    def stop(self, *, handover: bool = False) -> None:
        """End `run`; running attempts are finished first, for a few seconds."""
        self._handover |= handover
        self._stop.set()

    def status(self) -> HostStatus:
        """Show everything that this host serves."""
        return HostStatus(
            version=self._settings.version,
            pid=os.getpid(),
            hub_url=self._settings.hub_url,
            connected=self._stream is not None,
            adapters=tuple(self._contributions.adapters),
            sessions=tuple(sidecar.status() for sidecar in self._sidecars.values()),
            attachments=len(self._memory.attachments),
        )

    # Sessions ------------------------------------------------------------------------------------

    async def _watch(self, adapter: Adapter) -> None:
        """Take in what one adapter reports, for as long as the host lives."""
        failures = 0
        while True:
            try:
                async for event in adapter.sessions():
                    failures = 0
                    await self._notice(adapter, event)
            except RelayError as error:
                log.warning("adapter %s: %s", adapter.name, error)
            except Exception:
                # A third party's adapter may raise anything; the others go on, and it is tried
                # again.
                log.exception("adapter %s failed", adapter.name)
            failures += 1
            await self._clock.sleep(retry.delay_ms(failures, self._random.random()) / 1000)

    async def _notice(self, adapter: Adapter, event: SessionEvent) -> None:
        place = (adapter.name, event.key)
        sidecar = self._sidecars.get(place)
        if isinstance(event, SessionClosed):
            await self._close(place)
        elif sidecar is not None:
            sidecar.notice(event)
        elif isinstance(event, SessionSeen):
            await self._open(adapter, event)

    async def _open(self, adapter: Adapter, seen: SessionSeen) -> None:
        place = (adapter.name, seen.key)
        seams = Seams(
            adapter=adapter,
            hub=self._hub,
            hooks=self._hooks,
            clock=self._clock,
            random=self._random,
            failpoint=self._failpoint,
            record=self._record,
        )
        sidecar = Sidecar(seen, seams, self._settings.sidecar, changed=self._serve_again.set)
        self._sidecars[place] = sidecar
        name = f"sidecar {sidecar.agent_id}"
        self._running[place] = self._spawn(self._run(sidecar), name=name)
        async with self._sessions_changed:
            self._sessions_changed.notify_all()

    async def _run(self, sidecar: Sidecar) -> None:
        failures = 0
        while True:
            try:
                return await sidecar.run()
            except* Exception:
                # One session's fault must not take the others down; it begins again from the hub.
                log.exception("sidecar of %s failed", sidecar.agent_id)
            failures += 1
            await self._clock.sleep(retry.delay_ms(failures, self._random.random()) / 1000)

    async def _close(self, place: tuple[str, str]) -> None:
        sidecar = self._sidecars.pop(place, None)
        running = self._running.pop(place, None)
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        if sidecar is not None:
            self._run_errand(sidecar.retire())
        self._serve_again.set()

    def _run_errand(self, work: Coroutine[None, None, None]) -> None:
        """Do something for which nobody waits; what is not done at the end is cut off."""
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _finish(self) -> None:
        for sidecar in self._sidecars.values():
            sidecar.stop()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=FINISH_WAIT_S)
        for running in self._running.values():
            running.cancel()
        if self._running:
            await asyncio.wait(self._running.values())
        if not self._handover:
            for sidecar in self._sidecars.values():
                self._run_errand(sidecar.retire())
        if self._errands:
            _, late = await asyncio.wait(self._errands, timeout=GOODBYE_WAIT_S)
            for errand in late:
                errand.cancel()

    # The hub's stream ----------------------------------------------------------------------------

    async def _keep_stream(self) -> None:
        failures = 0
        while True:
            try:
                self._stream = await self._hub.open_stream()
                failures = 0
                self._serve_again.set()
                for sidecar in self._sidecars.values():
                    sidecar.notice_mail()
                async for frame in self._stream.frames():
                    self._take(frame)
            except (HubError, WireError) as error:
                log.info("stream: %s", error)
            finally:
                await self._drop_stream()
            failures += 1
            delay = retry.reconnect_ms(failures, self._random.random())
            await self._clock.sleep(delay / 1000)

    async def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _serve(self) -> None:
        """Keep the hub told which agents are served here."""
        while True:
            await self._serve_again.wait()
            self._serve_again.clear()
            served = tuple(
                each for sidecar in self._sidecars.values() if (each := sidecar.served) is not None
            )
            if self._stream is not None:
                with contextlib.suppress(HubError):  # the stream's own task sees it and reconnects
                    await self._stream.serve(served)

    def _take(self, frame: StreamFrame) -> None:
        if not isinstance(frame, MailFrame | FencedFrame):
            return
        for sidecar in self._sidecars.values():
            if sidecar.agent_id != frame.agent_id:
                continue
            if isinstance(frame, FencedFrame):
                sidecar.notice_fenced(frame.epoch)
            else:
                sidecar.notice_mail()

    # Attaching by hand ---------------------------------------------------------------------------

    async def _reattach(self) -> None:
        """Take up again what was attached before this host started."""
        await asyncio.gather(*map(self._attach_until_done, self._memory.attachments))

    async def _attach_until_done(self, attachment: Attachment) -> None:
        failures = 0
        while attachment in self._memory.attachments:
            adapter = self._contributions.adapters.get(attachment.adapter)
            if adapter is None:
                log.warning("no adapter %s for a remembered session", attachment.adapter)
                return
            try:
                await adapter.attach(attachment.request)
            except RelayError as error:
                log.warning("a remembered session is not back yet: %s", error)
            except Exception:
                # A third party's adapter may raise anything; the others go on.
                log.exception("adapter %s cannot attach", adapter.name)
            else:
                return
            failures += 1
            delay = retry.reconnect_ms(failures, self._random.random())
            await self._clock.sleep(delay / 1000)

    async def _attach(self, adapter: Adapter, request: msgspec.Raw) -> msgspec.Raw:
        keys = await adapter.attach(request)
        attachment = Attachment(adapter=adapter.name, request=request, keys=keys)
        self._remember(self._memory.with_attachment(attachment))
        attached = [await self._registered(adapter.name, key) for key in keys]
        return body_of(AttachedList(attached=tuple(attached)))

    async def _registered(self, adapter: str, key: str) -> Attached:
        place = (adapter, key)
        sidecar: Sidecar | None = None
        try:
            async with asyncio.timeout(REGISTER_WAIT_S):
                sidecar = await self._sidecar(place)
                if sidecar.fenced:
                    sidecar = await self._again(place, adapter)
                await sidecar.registered.wait()
        except TimeoutError as error:
            why = (sidecar and sidecar.last_error) or "the session was not seen"
            detail = f"attached, but not registered within {REGISTER_WAIT_S:g} s: {why}"
            raise NotRegistered(detail, fix="agent-relay status") from error
        return Attached(agent_id=sidecar.agent_id, thread_id=sidecar.thread_id)

    async def _sidecar(self, place: tuple[str, str]) -> Sidecar:
        """Wait until a session is there."""
        async with self._sessions_changed:
            await self._sessions_changed.wait_for(lambda: place in self._sidecars)
        return self._sidecars[place]

    async def _again(self, place: tuple[str, str], adapter: str) -> Sidecar:
        """Take a session back that another instance had taken over: the user asked for it."""
        seen = self._sidecars[place].seen
        await self._close(place)
        await self._open(self._contributions.adapters[adapter], seen)
        return self._sidecars[place]

    async def _detach(self, adapter: Adapter, body: msgspec.Raw) -> msgspec.Raw:
        wanted = msgspec.json.decode(body, type=DetachRequest)
        known = {key for each in self._memory.attachments for key in each.keys}
        gone: list[Attached] = []
        for place, sidecar in list(self._sidecars.items()):
            named = (wanted.agent_id or sidecar.agent_id) == sidecar.agent_id and (
                wanted.thread_id or sidecar.thread_id
            ) == sidecar.thread_id
            if place[0] != adapter.name or place[1] not in known or not named:
                continue
            gone.append(Attached(agent_id=sidecar.agent_id, thread_id=sidecar.thread_id))
            self._remember(self._memory.without_key(*place))
            await adapter.detach(place[1])
            await self._close(place)
        if not gone and (wanted.agent_id or wanted.thread_id):
            name = wanted.agent_id or wanted.thread_id
            raise RelayError(f"{name} is not attached here", fix="agent-relay status")
        return body_of(AttachedList(attached=tuple(gone)))

    def _remember(self, memory: Memory) -> None:
        self._memory = memory
        memories.remember(self._places.state_file, memory)

    # What plugins and the control socket get -----------------------------------------------------

    async def prepare(
        self, registration: Registration, environment: Environment
    ) -> RegistrationPatch:
        """Ask the plugins about a session that does not exist yet."""
        patch, _ = await self._hooks.on_register(registration, environment)
        return patch

    async def context(self, adapter: str, key: str, *, within_s: float) -> str | None:
        """Ask for the text that a session is given when it starts, once it is registered."""
        sidecar = await self._in_time((adapter, key), within_s)
        return None if sidecar is None else await sidecar.context()

    async def acting(self, adapter: str, key: str, *, within_s: float) -> ActingAgent | None:
        """Act for the agent of a session that is served here, once it is registered."""
        sidecar = await self._in_time((adapter, key), within_s)
        if sidecar is not None and sidecar.fenced:
            raise StaleEpoch(f"another host serves {sidecar.agent_id}")
        return None if sidecar is None else sidecar.acting()

    async def _in_time(self, place: tuple[str, str], within_s: float) -> Sidecar | None:
        """Wait until a session is registered; None when that takes too long."""
        try:
            async with asyncio.timeout(within_s):
                sidecar = await self._sidecar(place)
                await sidecar.registered.wait()
        except TimeoutError:
            return None
        return sidecar

    def _registrar(self, plugin: str) -> Registrar:
        return Registrar(
            plugin,
            self._contributions,
            desk=self,
            places=self._places,
            environ=self._environ,
            tables=self._settings.adapter_tables,
            clock=self._clock,
            failpoint=self._failpoint,
        )

    def _power(self, plugin: str) -> Power:
        table = self._settings.plugin_tables.get(plugin, NO_TABLE)
        return Power(plugin, self._hub, table=table, whose=self._whose, moved=self._moved)

    def _whose(self, delivery_id: DeliveryId) -> Fence | None:
        for sidecar in self._sidecars.values():
            if sidecar.carries(delivery_id):
                return sidecar.fence()
        return None

    def _moved(self, delivery_id: DeliveryId) -> None:
        for sidecar in self._sidecars.values():
            if sidecar.carries(delivery_id):
                sidecar.notice_mail()

    def _register_operations(self) -> None:
        self._control.register("ping", self._ping)
        self._control.register("hub", self._ping)
        self._control.register("status", self._status_operation)
        self._control.register("stop", self._stop_operation)
        self._control.register("decisions", self._decisions_operation)
        self._control.register("plugins", self._plugins_operation)
        self._control.register("trace", self._trace_operation)
        for name, adapter in self._contributions.adapters.items():
            self._control.register(f"{name}.attach", _bound(self._attach, adapter))
            self._control.register(f"{name}.detach", _bound(self._detach, adapter))
        for name, operation in self._contributions.operations.items():
            if not self._control.register(name, operation):
                raise PluginConflict("relay", f"operation {name!r} is the host's own")

    async def _ping(self, _: msgspec.Raw) -> msgspec.Raw:
        settings = self._settings
        return body_of(Ping(version=settings.version, pid=os.getpid(), hub_url=settings.hub_url))

    async def _status_operation(self, _: msgspec.Raw) -> msgspec.Raw:
        return body_of(self.status())

    async def _stop_operation(self, body: msgspec.Raw) -> msgspec.Raw:
        wanted = msgspec.json.decode(body, type=StopRequest | None)
        asyncio.get_running_loop().call_soon(
            lambda: self.stop(handover=bool(wanted and wanted.handover))
        )
        return await self._ping(body)

    async def _decisions_operation(self, body: msgspec.Raw) -> msgspec.Raw:
        wanted = msgspec.json.decode(body, type=DecisionsRequest)
        found = [
            decision
            for sidecar in self._sidecars.values()
            for decision in sidecar.decisions(wanted.message_id)
        ]
        return body_of(DecisionList(decisions=tuple(found)))

    async def _trace_operation(self, body: msgspec.Raw) -> msgspec.Raw:
        wanted = msgspec.json.decode(body, type=TraceRequest)
        return body_of(await self._calls.since(wanted))

    async def _plugins_operation(self, _: msgspec.Raw) -> msgspec.Raw:
        return body_of(
            PluginList(plugins=self._hooks.reports(), asked=self._hooks.asked_in_order())
        )


def _bound(
    operation: Callable[[Adapter, msgspec.Raw], Awaitable[msgspec.Raw]], adapter: Adapter
) -> Operation:
    async def bound(body: msgspec.Raw) -> msgspec.Raw:
        return await operation(adapter, body)

    return bound
