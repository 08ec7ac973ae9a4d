"""`agent-relay-codex status`."""

from __future__ import annotations

import click

from relay_cli.connection import ask_host
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING
from relay_core.host_api import HostStatus, SessionStatus
from relay_core.messages import Struct

ADAPTER = "codex"


class CodexSessions(Struct):
    """What `status --json` prints."""

    sessions: tuple[SessionStatus, ...]


@click.command(
    "status",
    help="Show the Codex sessions that are served.",
)
@json_option
def command(output: Output) -> None:
    """Show the Codex sessions."""
    status = finish(ask_host("status", None, HostStatus), output, "asking the host")
    sessions = tuple(one for one in status.sessions if one.adapter == ADAPTER)
    output.show_object(CodexSessions(sessions=sessions))
    output.table(
        ("AGENT", "THREAD", "ACTIVITY", "CONNECTION", "TURN", "PENDING", "LAST ERROR"),
        [
            (
                one.agent_id,
                one.thread_id,
                str(one.activity),
                one.connection,
                one.active_turn or NOTHING,
                str(one.pending),
                one.last_error or NOTHING,
            )
            for one in sessions
        ],
        empty="no Codex sessions; attach one with `agent-relay-codex attach --app-server URL`",
    )
