"""`agent-relay plugins order`."""

from __future__ import annotations

import click

from relay_cli.commands.plugins.choosing import change, force_option, names_argument, show
from relay_cli.connection import look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.plugin_settings import ORDER, Edit, known_names
from relay_cli.problems import Usage
from relay_cli.view import words
from relay_core.discovery import installed


@click.command(
    "order",
    help="""Say in which order plugins are asked, first the one that is asked first.

    Those that are not named come after them, by name; the plugins that come with the relay come
    last in any case. It is written to `[plugins]` in config.toml, where your comments stay. Without
    a name, what is set is shown; `agent-relay plugins list` shows what comes of it.

    \b
    Examples:
      agent-relay plugins order
      agent-relay plugins order night-shift translator
      agent-relay plugins order --undo
    """,
)
@names_argument
@click.option("--undo", is_flag=True, help="Ask by name again.")
@force_option
@json_option
def command(names: tuple[str, ...], undo: bool, force: bool, output: Output) -> None:
    """Set the order in which plugins are asked."""
    here = look_around()
    if undo:
        if names:
            raise Usage("--undo takes no names: all are asked by name again")
        change(here, Edit(key=ORDER, names=None), output, "plugins are asked by name")
        return
    if not names:
        show(here, ORDER, output, empty="no order is set: plugins are asked by name")
        return
    wanted = known_names(installed(), names, force=force)
    change(here, Edit(key=ORDER, names=wanted), output, f"asked first: {words(wanted)}")
