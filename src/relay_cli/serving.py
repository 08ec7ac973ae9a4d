"""What `up` runs: the hub, where none is there, and the host, in one process and one loop."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from relay_cli.connection import Here, find_token
from relay_cli.problems import Usage
from relay_cli.version import version
from relay_core.clock import SystemClock, SystemRandom
from relay_core.control import ControlServer
from relay_core.discovery import PluginReport, Plugins, discover, installed
from relay_core.errors import HubUnreachable
from relay_core.failpoints import from_environment
from relay_core.hooks import Hooks
from relay_core.host import Host, HostSettings
from relay_core.hub_client import HubClient
from relay_core.messages import Struct
from relay_core.seat import SidecarSettings
from relay_core.settings import Settings, loopback

log = logging.getLogger("relay.up")


class Serving(Struct):
    """What is served, once it is; `embedded` says that the hub runs in this process."""

    url: str
    pid: int
    version: str
    embedded: bool
    plugins: tuple[PluginReport, ...]
    unmatched: tuple[str, ...] = ()


class _Hub(Struct):
    url: str
    token: str
    embedded: bool


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

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(here, environ, port, announce))


async def _serve(
    here: Here,
    environ: Mapping[str, str],
    port: int | None,
    announce: Callable[[Serving], None],
) -> None:
    chosen = here.settings.plugins
    plugins = discover(installed(), block=chosen.block, order=chosen.order, only=chosen.only)
    async with _hub(here, environ, port) as hub, HubClient(hub.url, hub.token) as client:
        host = _host(here, environ, hub.url, client, plugins)
        _stop_on_signals(host)
        running = asyncio.create_task(host.run(), name="host")
        ready = asyncio.create_task(host.ready.wait(), name="ready")
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not running.done():
            announce(
                Serving(
                    url=hub.url,
                    pid=os.getpid(),
                    version=version(),
                    embedded=hub.embedded,
                    plugins=plugins.reports,
                    unmatched=plugins.unmatched,
                )
            )
        await running


def _host(
    here: Here, environ: Mapping[str, str], url: str, client: HubClient, plugins: Plugins
) -> Host:
    settings = here.settings
    return Host(
        HostSettings(
            version=version(),
            hub_url=url,
            sidecar=_sidecar_settings(settings, url),
            adapter_tables=settings.adapters,
            plugin_tables=settings.plugin,
        ),
        places=here.places,
        environ=environ,
        hub=client,
        hooks=Hooks(plugins.manager, reports=plugins.reports),
        control=ControlServer(here.places.control_socket),
        clock=SystemClock(),
        random=SystemRandom(),
        failpoint=from_environment(environ),
    )


def _sidecar_settings(settings: Settings, url: str) -> SidecarSettings:
    return SidecarSettings(
        policy=settings.policy(),
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
        if token is not None and await _proves_itself(named, token):
            yield _Hub(url=named, token=token, embedded=False)
            return
        if not loopback(place.hostname or ""):
            raise HubUnreachable(f"no hub answers at {named}", fix="unset AGENT_RELAY_URL")
        port = place.port
    wanted = here.settings.hub.port if port is None else port
    async with _embedded(here, environ, wanted) as hub:
        yield hub


async def _proves_itself(url: str, token: str) -> bool:
    """Tell whether a hub that knows the token is there; False where nobody answers at all."""
    async with HubClient(url, token) as client:
        try:
            await client.authenticate()
        except HubUnreachable:
            return False
    return True
