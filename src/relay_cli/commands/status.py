"""`agent-relay status`."""

from __future__ import annotations

import contextlib
import time

import click

from relay_cli.caller import as_option
from relay_cli.connection import ask_host, find_hub, look_around, open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.own_status import show_own
from relay_cli.patience import finish
from relay_cli.problems import ExitCode
from relay_cli.view import NOTHING, clock_time
from relay_core.control import HostUnreachable
from relay_core.errors import HubRefused, RelayError
from relay_core.host_api import HostStatus, SessionStatus
from relay_core.messages import Struct

ASK_S = 5.0


class HubReport(Struct):
    """The hub as `status --json` shows it; `error` says why it is not reachable.

    `needs_yes` is how many deliveries wait for a human's yes; None where this token may not know.
    """

    url: str
    found_by: str
    reachable: bool
    agents: int | None = None
    needs_yes: int | None = None
    error: str | None = None


class HostReport(Struct):
    """The host as `status --json` shows it; `error` says why it is not running."""

    running: bool
    control_socket: str
    pid: int | None = None
    version: str | None = None
    connected: bool = False
    adapters: tuple[str, ...] = ()
    attachments: int = 0
    error: str | None = None


class StatusReport(Struct):
    """What `status --json` prints."""

    hub: HubReport
    host: HostReport
    sessions: tuple[SessionStatus, ...]


@click.command(
    "status",
    help="""Show the hub, the host and its sessions.

    Ends with 3 when the hub or the host cannot be reached; what could be found out is shown all the
    same.

    With `--mine` or `--as AGENT`, the state of one agent instead: what the hub knows of it, its
    session where the host on this machine serves it, and its open pair.

    \b
    Examples:
      agent-relay status
      agent-relay status --mine
      agent-relay status --as codex-web-a1b2c3d4e5f6 --json
    """,
)
@click.option("--mine", is_flag=True, help="Show the agent of the session that this shell is in.")
@as_option
@url_option
@json_option
def command(mine: bool, acting_as: str | None, output: Output, url: str | None) -> None:
    """Show how things stand."""
    if mine or acting_as is not None:
        show_own(acting_as, output, url)
        return
    report = finish(_look(url), output, "asking host and hub")
    output.show_object(report)
    hub, host = report.hub, report.host
    output.fields(
        [
            ("hub", f"{hub.url} (by {hub.found_by})"),
            ("", _told_of_agents(hub)),
            *([("", _told_of_held(hub.needs_yes))] if hub.needs_yes else []),
            ("host", f"pid {host.pid}, version {host.version}" if host.running else "not running"),
            ("", _told_of_connection(host)),
        ]
    )
    output.line()
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("AGENT", "ADAPTER", "ACTIVITY", "CONNECTION", "TURN", "PENDING", "WAITING", "LAST ERROR"),
        [_cells(session, now_ms) for session in report.sessions],
        empty="no sessions; attach one with `agent-relay-codex attach`",
    )
    if not (hub.reachable and host.running):
        raise click.exceptions.Exit(ExitCode.UNREACHABLE)


async def _look(url: str | None) -> StatusReport:
    here = look_around()
    socket = str(here.places.control_socket)
    sessions: tuple[SessionStatus, ...] = ()
    try:
        status = await ask_host("status", None, HostStatus, timeout_s=ASK_S)
    except HostUnreachable as error:
        host = HostReport(running=False, control_socket=socket, error=error.detail)
    else:
        sessions = status.sessions
        host = HostReport(
            running=True,
            control_socket=socket,
            pid=status.pid,
            version=status.version,
            connected=status.connected,
            adapters=status.adapters,
            attachments=status.attachments,
        )
    place = await find_hub(here, url)
    agents = needs_yes = error_shown = None
    try:
        async with open_hub(url) as hub:
            agents = len(await hub.agents())
            with contextlib.suppress(HubRefused):  # an agent's token
                needs_yes = (await hub.held(most=0)).needs_yes
    except RelayError as error:
        error_shown = error.detail
    return StatusReport(
        hub=HubReport(
            url=place.url,
            found_by=place.found_by,
            reachable=agents is not None,
            agents=agents,
            needs_yes=needs_yes,
            error=error_shown,
        ),
        host=host,
        sessions=sessions,
    )


def _told_of_connection(host: HostReport) -> str:
    if not host.running:
        return "start it with `agent-relay up --detach`"
    adapters = ", ".join(host.adapters) or "none"
    return f"{'connected' if host.connected else 'not connected'} to its hub; adapters: {adapters}"


def _cells(session: SessionStatus, now_ms: int) -> tuple[str, ...]:
    waiting = session.waiting or NOTHING
    if session.waiting is None and session.quiet_until_ms is not None:
        waiting = f"quiet until {clock_time(session.quiet_until_ms, now_ms)}"
    return (
        session.agent_id,
        session.adapter,
        str(session.activity),
        session.connection,
        session.active_turn or NOTHING,
        str(session.pending),
        waiting,
        session.last_error or NOTHING,
    )


def _told_of_agents(hub: HubReport) -> str:
    if not hub.reachable:
        return f"not reachable: {hub.error}"
    return "1 agent" if hub.agents == 1 else f"{hub.agents} agents"


def _told_of_held(number: int) -> str:
    wait = "1 delivery waits" if number == 1 else f"{number} deliveries wait"
    return f"{wait} for your yes: `agent-relay held`"
