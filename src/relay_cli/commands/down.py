"""`agent-relay down`."""

from __future__ import annotations

import asyncio

import click

from relay_cli.lifecycle import stop_running
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_core.control import HostUnreachable
from relay_core.messages import Struct


class DownReport(Struct):
    """What `down --json` prints; `pid` is None where nothing ran."""

    stopped: bool
    pid: int | None = None


@click.command(
    "down",
    help="""Stop the running host.

    The hub that runs in it stops as well. What is on its way to a session is finished first; what
    waits stays at the hub. Ends with 0 also where nothing ran.
    """,
)
@json_option
def command(output: Output) -> None:
    """Stop the host."""
    try:
        pid = asyncio.run(stop_running(output))
    except HostUnreachable:
        output.show_object(DownReport(stopped=False))
        output.line("no host was running")
        return
    output.show_object(DownReport(stopped=True, pid=pid))
    output.line(f"stopped (pid {pid})")
