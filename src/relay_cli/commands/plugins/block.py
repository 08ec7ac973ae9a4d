"""`agent-relay plugins block`."""

from __future__ import annotations

import click

from relay_cli.commands.plugins.choosing import change, force_option, names_argument, show
from relay_cli.connection import look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.plugin_settings import BLOCK, Edit, known_names, without
from relay_cli.problems import Usage
from relay_cli.view import words
from relay_core.discovery import installed


@click.command(
    "block",
    help="""Keep plugins from being loaded: nothing of them is imported.

    NAME is a plugin, or a distribution for all of its plugins. It is written to `[plugins]` in
    config.toml, where your comments stay. Without a name, what is blocked is shown.

    \b
    Examples:
      agent-relay plugins block
      agent-relay plugins block night-shift
      agent-relay plugins block night-shift --undo
    """,
)
@names_argument
@click.option("--undo", is_flag=True, help="Let them be loaded again.")
@force_option
@json_option
def command(names: tuple[str, ...], undo: bool, force: bool, output: Output) -> None:
    """Block plugins, or let them be loaded again."""
    here = look_around()
    if not names:
        if undo:
            raise Usage("--undo of what?", fix="name what is to be loaded again")
        show(here, BLOCK, output, empty="no plugin is blocked")
        return
    blocked = here.settings.plugins.block
    candidates = installed()
    if undo:
        for name in names:
            blocked = without(blocked, name, candidates)
        told = f"not blocked any more: {words(names)}"
    else:
        wanted = known_names(candidates, names, force=force)
        blocked = tuple(dict.fromkeys([*blocked, *wanted]))
        told = f"blocked: {words(wanted)}"
    change(here, Edit(key=BLOCK, names=blocked or None), output, told)
