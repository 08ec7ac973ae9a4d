"""`agent-relay up`."""

from __future__ import annotations

import asyncio
import os
import time

import click

from relay_cli.connection import Here, look_around
from relay_cli.hook_launcher import claim
from relay_cli.lifecycle import POLL_S, Running, find_running, make_room, start_detached
from relay_cli.logs import DETACHED_LOG
from relay_cli.options import json_option, port_number
from relay_cli.output import Output
from relay_core.discovery import PluginState
from relay_core.errors import RelayError
from relay_core.messages import Struct

FIRST_OF_TWO_S = 10.0
TAKEN = ("host_runs", "store_busy")
"""What stops the slower of two hosts that start at once."""


class UpReport(Struct):
    """What `up --json` prints, as soon as it serves.

    `already` says that a host of the same version was running; nothing was started then.
    """

    url: str
    pid: int
    version: str
    control_socket: str
    already: bool = False
    embedded: bool | None = None
    log: str | None = None


@click.command(
    "up",
    help="""Run the host and, where none answers, the hub.

    Runs until Ctrl-C. The host serves every session of yours on this machine. The hub runs in the
    same process, unless AGENT_RELAY_URL or config.toml name one that answers. The first start makes
    the token that all commands then find by themselves.

    Where a host of this version is running already, nothing happens; one of another version hands
    its sessions over first.
    """,
)
@click.option(
    "--port",
    type=port_number,
    metavar="PORT",
    help="The hub's port; 0 takes a free one. Default: 4850.",
)
@click.option("--detach", is_flag=True, help="Run in the background; return when it is ready.")
@json_option
def command(port: int | None, detach: bool, output: Output) -> None:
    """Run host and hub."""
    here = look_around()
    _claim_launcher(here, output)
    running = asyncio.run(make_room(output))
    if running is not None:
        _show_running(running, here, output)
        return
    try:
        _start(here, port, output, detach=detach)
    except RelayError as error:
        # Two at once: the one that was first is the host that this one would have been.
        running = asyncio.run(_first_of_two(error))
        if running is None:
            raise
        _show_running(running, here, output)


def _claim_launcher(here: Here, output: Output) -> None:
    """Let Codex start what is of this environment, also where a host of this version runs."""
    try:
        claim(os.environ, here.places)
    except OSError as error:
        output.remark(f"Codex's launcher was not written: {error}")


def _start(here: Here, port: int | None, output: Output, *, detach: bool) -> None:
    if detach:
        log = here.places.logs / DETACHED_LOG
        running = asyncio.run(start_detached(log, port, output))
        output.show_object(_report(running, here, log=str(log)))
        output.line(f"serving on {running.hub_url} (pid {running.pid}, log {log})")
        _warn_root(output)
        return
    _serve(here, port, output)


async def _first_of_two(error: RelayError) -> Running | None:
    """Find the host that was faster, where that is what stopped this one."""
    give_up = time.monotonic() + FIRST_OF_TWO_S
    while _is_taken(error) and time.monotonic() < give_up:
        running = await find_running()
        if running is not None and running.pid != os.getpid():
            return running
        await asyncio.sleep(POLL_S)
    return None


def _is_taken(error: RelayError) -> bool:
    return error.code in TAKEN


def _show_running(running: Running, here: Here, output: Output) -> None:
    output.show_object(_report(running, here, already=True))
    output.line(f"already running: serving on {running.hub_url} (pid {running.pid})")


def _report(
    running: Running, here: Here, *, already: bool = False, log: str | None = None
) -> UpReport:
    return UpReport(
        url=running.hub_url,
        pid=running.pid,
        version=running.version,
        control_socket=str(here.places.control_socket),
        already=already,
        log=log,
    )


def _serve(here: Here, port: int | None, output: Output) -> None:
    from relay_cli.serving import Serving, run

    def announce(serving: Serving) -> None:
        output.progress_done()
        output.show_object(
            UpReport(
                url=serving.url,
                pid=serving.pid,
                version=serving.version,
                control_socket=str(here.places.control_socket),
                embedded=serving.embedded,
            )
        )
        where = "hub and host serve" if serving.embedded else "the host serves; the hub is"
        output.line(f"{where} on {serving.url} (pid {serving.pid}); Ctrl-C stops")
        _warn_root(output)
        for report in serving.plugins:
            if report.state is PluginState.FAILED:
                whose = f"{report.name} of {report.distribution}"
                output.remark(f"plugin {whose} is not loaded: {report.reason}")
        for name in serving.unmatched:
            output.remark(f"config.toml names a plugin {name!r} that is not installed")
        output.flush()

    output.progress("starting")
    run(here, os.environ, port=port, announce=announce)
    output.line("stopped")


def _warn_root(output: Output) -> None:
    if os.getuid() == 0:
        output.remark("running as root: every message can make an agent act as root")
