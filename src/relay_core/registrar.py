"""What plugins are handed: a registrar at load, power at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from relay_core.acting import ActingAgent
from relay_core.errors import HubRefused, PluginConflict, PluginError
from relay_core.hub_api import Fence, MessageView, SendRequest, SendResponse, VerdictRequest
from relay_core.messages import META_LIMIT_BYTES, DeliveryId, DeliveryState, MessageId
from relay_core.places import Places
from relay_core.ports import Adapter, Clock, Failpoints, HubPort, Operation
from relay_core.sessions import Environment, Registration, RegistrationPatch

NO_TABLE = msgspec.Raw(b"{}")


class Contributions:
    """What all plugins have contributed so far: adapters and operations by name, and by whom."""

    def __init__(self) -> None:
        self.adapters: dict[str, Adapter] = {}
        self.operations: dict[str, Operation] = {}
        self._owners: dict[str, str] = {}

    def own(self, kind: str, name: str, plugin: str) -> None:
        """Note who has a name; PluginConflict when it is taken."""
        taken = self._owners.setdefault(f"{kind} {name}", plugin)
        if taken != plugin or name in (self.adapters if kind == "adapter" else self.operations):
            raise PluginConflict(plugin, f"{kind} {name!r} belongs to plugin {taken}")


class FrontDesk(Protocol):
    """What a host answers about its sessions to those who bring them."""

    async def prepare(
        self, registration: Registration, environment: Environment
    ) -> RegistrationPatch:
        """See `AdapterRegistrar.prepare`."""
        ...

    async def context(self, adapter: str, key: str, *, within_s: float) -> str | None:
        """See `AdapterRegistrar.context`."""
        ...

    async def acting(self, adapter: str, key: str, *, within_s: float) -> ActingAgent | None:
        """See `AdapterRegistrar.acting`."""
        ...


class Registrar:
    """What one plugin's `register_adapters` gets; implements
    `relay_core.ports.AdapterRegistrar`."""

    def __init__(
        self,
        plugin: str,
        contributions: Contributions,
        *,
        desk: FrontDesk,
        places: Places,
        environ: Environment,
        tables: Mapping[str, msgspec.Raw],
        clock: Clock,
        failpoint: Failpoints,
    ) -> None:
        self._plugin = plugin
        self._contributions = contributions
        self._tables = tables
        self.prepare = desk.prepare
        self.context = desk.context
        self.acting = desk.acting
        self.places = places
        self.environ = environ
        self.clock = clock
        self.failpoint = failpoint

    @property
    def table(self) -> msgspec.Raw:
        """The table of config.toml that has the last word of the plugin's name."""
        return self._tables.get(self._plugin.rpartition(".")[2], NO_TABLE)

    def adapter(self, adapter: Adapter) -> None:
        self._contributions.own("adapter", adapter.name, self._plugin)
        self._contributions.adapters[adapter.name] = adapter

    def operation(self, name: str, handler: Operation) -> None:
        self._contributions.own("operation", name, self._plugin)
        self._contributions.operations[name] = handler


class Power:
    """What one plugin's `start` gets; implements `relay_core.ports.Relay`."""

    def __init__(
        self,
        plugin: str,
        hub: HubPort,
        *,
        table: msgspec.Raw,
        whose: Callable[[DeliveryId], Fence | None],
        moved: Callable[[DeliveryId], None],
    ) -> None:
        self._plugin = plugin
        self._hub = hub
        self._whose = whose
        self._moved = moved
        self.table = table

    async def send(self, request: SendRequest) -> SendResponse:
        return await self._hub.send(request)

    async def message(self, message_id: MessageId) -> MessageView:
        return await self._hub.message(message_id)

    async def release(self, delivery_id: DeliveryId) -> None:
        fence = self._fence(delivery_id)
        verdict = VerdictRequest(
            state=DeliveryState.QUEUED,
            reason="released",
            agent_id=fence.agent_id,
            instance_id=fence.instance_id,
            epoch=fence.epoch,
        )
        await self._hub.give_verdict(delivery_id, verdict)
        self._moved(delivery_id)

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None:
        if len(bytes(value)) > META_LIMIT_BYTES:
            detail = f"an annotation may have {META_LIMIT_BYTES} bytes, {key!r} has more"
            raise PluginError(self._plugin, detail)
        await self._hub.annotate(delivery_id, self._fence(delivery_id), {key: value})
        self._moved(delivery_id)

    def _fence(self, delivery_id: DeliveryId) -> Fence:
        fence = self._whose(delivery_id)
        if fence is None:
            raise HubRefused(404, "not_here", f"delivery {delivery_id} is not open on this host")
        return fence
