"""What `up` runs: the hub, where none is there, and the host, in one process and one loop."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from relay_cli.codex_program import codex_environ
from relay_cli.connection import Here, find_token
from relay_cli.logs import write_logs
from relay_cli.problems import Usage, alone
from relay_cli.version import version
from relay_core.clock import SystemClock, SystemRandom
from relay_core.control import ControlServer
from relay_core.decision_file import DecisionFile
from relay_core.discovery import PluginReport, Plugins, discover, installed
from relay_core.errors import HubUnreachable, SettingsError
from relay_core.failpoints import ArmedFailpoints, from_environment
from relay_core.hooks import Hooks
from relay_core.host import Host, HostSettings
from relay_core.messages import Struct
from relay_core.ports import Failpoint, HubPort
from relay_core.seat import SidecarSettings
from relay_core.settings import Settings, loopback
from relay_hub.limits import Limits
from relay_hub.local import LocalHub
from relay_hub.server import HubServer, open_hub

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHORTEST_TOKEN = 16
HUB_WAIT_S, HUB_LOOK_S = 5.0, 0.2
"""How long a host waits for a hub that is somebody else's, and how often it looks."""
"""Characters that the user token of a hub of ours has at least."""

log = logging.getLogger("relay.plugins")


class Serving(Struct):
    """What is served, once it is; `embedded` says that the hub runs in this process."""

    url: str
    pid: int
    version: str
    embedded: bool
    plugins: tuple[PluginReport, ...]
    unmatched: tuple[str, ...] = ()


class _Hub(msgspec.Struct):
    url: str
    port: HubPort
    server: HubServer | None = None


def run(
    here: Here,
    environ: Mapping[str, str],
    *,
    port: int | None,
    announce: Callable[[Serving], None],
) -> None:
    """Serve until SIGINT, SIGTERM or the operation `stop`; a second signal ends it at once.

    Raises what makes a start impossible, before anything is announced.
    """
    import uvloop

    write_logs(here.places.logs / "host.log")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(here, environ, port, announce))
    except ExceptionGroup as group:
        cause = alone(group)
        if isinstance(cause, ExceptionGroup):
            raise
        raise cause from group


async def _serve(
    here: Here,
    environ: Mapping[str, str],
    port: int | None,
    announce: Callable[[Serving], None],
) -> None:
    chosen = here.settings.plugins
    plugins = discover(installed(), block=chosen.block, order=chosen.order, only=chosen.only)
    for report in plugins.reports:
        for note in report.notes:
            log.warning("plugin %s of %s: %s", report.name, report.distribution, note)
    async with _hub(here, environ, port) as hub:
        host = _host(here, environ, hub, plugins)
        _stop_on_signals(host)
        running = asyncio.create_task(host.run(), name="host")
        ready = asyncio.create_task(host.ready.wait(), name="ready")
        broken = asyncio.create_task(_stop_with_hub(hub.server, host), name="hub")
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not running.done():
            announce(
                Serving(
                    url=hub.url,
                    pid=os.getpid(),
                    version=version(),
                    embedded=hub.server is not None,
                    plugins=plugins.reports,
                    unmatched=plugins.unmatched,
                )
            )
        await running
        if broken.done():
            broken.result()
        broken.cancel()


async def _stop_with_hub(server: HubServer | None, host: Host) -> None:
    """End the host when its own hub has stopped by itself; raises what stopped the hub."""
    if server is None:
        await asyncio.Event().wait()
        return
    try:
        await server.failed()
    finally:
        host.stop()


def _host(here: Here, environ: Mapping[str, str], hub: _Hub, plugins: Plugins) -> Host:
    settings = here.settings
    return Host(
        HostSettings(
            version=version(),
            hub_url=hub.url,
            sidecar=_sidecar_settings(settings, hub.url),
            adapter_tables=settings.adapters,
            plugin_tables=settings.plugin,
        ),
        places=here.places,
        environ=codex_environ(settings, environ),
        hub=hub.port,
        hooks=Hooks(plugins.manager, reports=plugins.reports),
        control=ControlServer(here.places.control_socket),
        clock=SystemClock(),
        random=SystemRandom(),
        failpoint=from_environment(environ),
        record=DecisionFile(
            here.places.decisions_file,
            host=version(),
            versions={each.name: each.version for each in plugins.reports},
        ),
    )


def _sidecar_settings(settings: Settings, url: str) -> SidecarSettings:
    return SidecarSettings(
        policy=settings.policy(),
        own_policies=settings.own_policies(),
        repair_ms=settings.host.repair_ms,
        heartbeat_ms=settings.host.heartbeat_ms,
        quiet_after_interrupt_ms=settings.delivery.quiet_after_interrupt_ms,
        unattended_budget=settings.delivery.unattended_budget,
        machine=platform.node(),
        hub_url=url,
    )


def _stop_on_signals(host: Host) -> None:
    loop = asyncio.get_running_loop()
    stopping = False

    def stop(number: int) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + number)
        stopping = True
        host.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)


@asynccontextmanager
async def _hub(here: Here, environ: Mapping[str, str], port: int | None) -> AsyncGenerator[_Hub]:
    """Use the hub that the settings name, where it answers; else run one here."""
    named = here.settings.hub.url
    if named is not None:
        place = urlsplit(named)
        if port is not None and port != place.port:
            detail = f"--port {port} and the hub's address {named} contradict each other"
            raise Usage(detail, fix="leave out --port, or unset AGENT_RELAY_URL")
        token = find_token(here)
        if token is not None:
            # Late: a host with its own hub needs no client of one, which is slow to import.
            from relay_core.hub_client import HubClient

            # Who has the token of a hub, and no store, does not mean to run that hub: where it is
            # being started again, an empty one in its place would lose everybody's mail.
            theirs = here.settings.hub.token is not None and not store_file(here).exists()
            async with HubClient(named, token) as client:
                if await _proves_itself(client, wait_s=HUB_WAIT_S if theirs else 0):
                    yield _Hub(url=named, port=client)
                    return
            if theirs:
                raise HubUnreachable(
                    f"no hub answers at {named}, and there is none of this home's own",
                    fix="start that hub; for one here, unset AGENT_RELAY_URL or AGENT_RELAY_TOKEN",
                )
        if not loopback(place.hostname or ""):
            raise HubUnreachable(f"no hub answers at {named}", fix="unset AGENT_RELAY_URL")
        port = place.port
    token = here.settings.hub.token
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise SettingsError(
            f"AGENT_RELAY_TOKEN has less than {SHORTEST_TOKEN} characters: others could guess it",
            fix="unset AGENT_RELAY_TOKEN, so that a token is made, or choose a longer one",
        )
    failpoint = from_environment(environ)
    async with open_hub(
        store_file=store_file(here),
        token_file=here.places.token_file,
        token=token,
        clock=SystemClock(),
        random=SystemRandom(),
        port=here.settings.hub.port if port is None else port,
        limits=hub_limits(here.settings),
        failpoint=failpoint.blocking if isinstance(failpoint, ArmedFailpoints) else _unarmed,
    ) as server:
        # A hub in this loop is asked without a wire, which would cost more than what it does.
        yield _Hub(url=server.url, port=LocalHub(server.service), server=server)


def _unarmed(name: Failpoint) -> bool:  # noqa: ARG001 - the shape of a failpoint
    return False


def store_file(here: Here) -> Path:
    """Find the hub's database; SettingsError where config.toml names what is no absolute path."""
    named = here.settings.hub.store
    if named is None:
        return here.places.store_file
    path = Path(named).expanduser()
    if not path.is_absolute():
        raise SettingsError(
            f"hub.store: {named!r} is no absolute path",
            file=here.places.config_file,
            fix="write the whole path of the database file",
        )
    return path


def hub_limits(settings: Settings) -> Limits:
    """What the user has set in `[hub.limits]`, as the hub takes it."""
    chosen = settings.hub.limits
    return Limits(
        request_bytes=chosen.request_bytes,
        body_bytes=chosen.body_bytes,
        meta_bytes=chosen.meta_bytes,
        offer_bytes=chosen.offer_bytes,
        store_bytes=chosen.store_bytes,
        free_bytes=chosen.free_bytes,
        fan_out=chosen.fan_out,
        recipient_queue=chosen.queue,
        sends_per_minute=chosen.sends_per_minute,
        hops=chosen.hops,
        conversation_messages=chosen.conversation_messages,
        conversation_window_ms=chosen.conversation_window_ms,
        turns_per_hour=chosen.turns_per_hour,
        ttl_ms=chosen.ttl_ms,
        ttl_most_ms=chosen.ttl_most_ms,
        claim_lease_ms=chosen.claim_lease_ms,
        claim_lapses=chosen.claim_lapses,
        heartbeat_ms=chosen.heartbeat_ms,
        pair_invite_ms=chosen.pair_invite_ms,
        keep_ms=chosen.keep_ms,
        idempotency_ms=chosen.idempotency_ms,
        streams=chosen.streams,
        connections=chosen.connections,
    )


async def _proves_itself(client: HubClient, *, wait_s: float) -> bool:
    """Tell whether a hub that knows the token is there; False where nobody answers in that time."""
    until, told = time.monotonic() + wait_s, False
    while True:
        try:
            await client.authenticate()
        except HubUnreachable as error:
            if time.monotonic() >= until:
                return False
            if not told:
                told = True
                log.warning("%s; waiting for it, %g s at most", error.detail, wait_s)
            await asyncio.sleep(HUB_LOOK_S)
        else:
            return True
