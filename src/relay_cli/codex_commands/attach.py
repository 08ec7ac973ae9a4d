"""`agent-relay-codex attach`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from relay_cli.connection import ask_host
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_core.errors import SettingsError
from relay_core.host_api import AttachedList
from relay_plugins.codex import AttachRequest, codex_home
from relay_plugins.codex.address import check_thread_id, parse_address

ATTACH_LIMIT_S = 45.0
"""Longer than the host itself waits for the session's registration."""


@click.command(
    "attach",
    help="""Serve the threads of a Codex app-server.

    The running host connects to the app-server, registers the thread with the hub and delivers its
    mail from now on, also after a restart, until `detach`. Without `--thread` every thread that is
    loaded there is served.
    """,
)
@click.option(
    "--app-server",
    "app_server",
    required=True,
    metavar="URL",
    help="ws://127.0.0.1:PORT or unix:///path of a running `codex app-server`.",
)
@click.option("--thread", metavar="ID", help="Serve only this thread.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the app-server's capability token.",
)
@json_option
def command(app_server: str, thread: str | None, token_file: Path | None, output: Output) -> None:
    """Attach to an app-server."""
    try:
        address = parse_address(app_server, codex_home(os.environ))
        checked = None if thread is None else check_thread_id(thread)
    except SettingsError as error:
        raise Usage(error.detail, fix=error.fix) from error
    request = AttachRequest(
        app_server=address.text,
        thread=checked,
        token_file=None if token_file is None else str(token_file.absolute()),
    )
    asked = ask_host("codex.attach", request, AttachedList, timeout_s=ATTACH_LIMIT_S)
    answer = finish(asked, output, f"attaching to {app_server}")
    output.show_object(answer)
    output.table(
        ("AGENT", "THREAD"),
        [(one.agent_id, one.thread_id) for one in answer.attached],
        empty="attached; no thread is loaded there yet, each is served as soon as it is",
    )
