"""`agent-relay plugins`: a module for each of its commands."""

from __future__ import annotations

import click

from relay_cli.commands.plugins import check, choosing, listing, new, trace
from relay_cli.deciding import ListByDefault


@click.group(
    "plugins",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""See which plugins are installed, and what became of them.

    Without a command the plugins are listed. Every command takes `--json`.
    """,
)
def command() -> None:
    """The group of all commands about plugins."""


for _each in (
    listing.command,
    check.command,
    choosing.block,
    choosing.only,
    choosing.order,
    trace.command,
    new.command,
):
    command.add_command(_each)
