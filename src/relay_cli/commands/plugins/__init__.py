"""`agent-relay plugins`: a module for each of its commands."""

from __future__ import annotations

import click

from relay_cli.commands.plugins import block, listing, only, order
from relay_cli.deciding import ListByDefault


@click.group(
    "plugins",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""See which plugins are installed and what became of them; choose among them.

    Without a command the plugins are listed. Every command takes `--json`.

    \b
    Examples:
      agent-relay plugins
      agent-relay plugins block night-shift
      agent-relay plugins order night-shift translator
    """,
)
def command() -> None:
    """The group of all commands about plugins."""


for each in (listing, block, only, order):
    command.add_command(each.command)
