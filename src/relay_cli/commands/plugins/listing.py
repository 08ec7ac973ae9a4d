"""`agent-relay plugins list`."""

from __future__ import annotations

import click

from relay_cli.connection import ask_host, look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING
from relay_core.control import HostUnreachable
from relay_core.discovery import PluginReport, discover, installed
from relay_core.messages import Struct


class PluginRows(Struct):
    """What `plugins --json` prints, and what the host answers."""

    plugins: tuple[PluginReport, ...]


@click.command(
    "list",
    help="""List the plugins and what became of them.

    The running host is asked; where none runs, the plugins are loaded here as it would load them.
    """,
)
@json_option
def command(output: Output) -> None:
    """List the plugins."""
    rows = finish(_look(), output, "asking the host")
    output.show_object(rows)
    output.table(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "HOOKS", "REASON"),
        [
            (
                row.name,
                row.distribution,
                row.version,
                str(row.state),
                ", ".join(row.hooks) or NOTHING,
                row.reason or NOTHING,
            )
            for row in rows.plugins
        ],
        empty="no plugins are installed; install agent-relay-codex again",
    )


async def _look() -> PluginRows:
    try:
        return await ask_host("plugins", None, PluginRows)
    except HostUnreachable:
        chosen = look_around().settings.plugins
        found = discover(installed(), block=chosen.block, order=chosen.order, only=chosen.only)
        return PluginRows(plugins=found.reports)
