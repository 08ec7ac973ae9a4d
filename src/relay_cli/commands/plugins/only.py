"""`agent-relay plugins only`."""

from __future__ import annotations

import click

from relay_cli.commands.plugins.choosing import change, force_option, names_argument, show
from relay_cli.connection import look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.plugin_settings import ONLY, Edit, known_names
from relay_cli.problems import Usage
from relay_cli.view import words
from relay_core.discovery import DISTRIBUTION, answering, installed


@click.command(
    "only",
    help="""Load these plugins and no other that is installed.

    NAME is a plugin, or a distribution for all of its plugins. The plugins that come with the
    relay, `agent-relay-codex`, are kept, unless you say `--bare`: without them hardly anything
    works. It is written to `[plugins]` in config.toml, where your comments stay. Without a name,
    what is set is shown.

    \b
    Examples:
      agent-relay plugins only
      agent-relay plugins only night-shift
      agent-relay plugins only relay.delivery relay.prompt relay.echo --bare
      agent-relay plugins only --undo
    """,
)
@names_argument
@click.option("--bare", is_flag=True, help="Do not keep the plugins that come with the relay.")
@click.option("--undo", is_flag=True, help="Load everything that is installed, and not blocked.")
@force_option
@json_option
def command(names: tuple[str, ...], bare: bool, undo: bool, force: bool, output: Output) -> None:
    """Load nothing but some plugins, or everything again."""
    here = look_around()
    if undo:
        if names or bare:
            raise Usage("--undo takes no names: everything is loaded again")
        change(here, Edit(key=ONLY, names=None), output, "everything that is installed is loaded")
        return
    if not names:
        if bare:
            raise Usage("--bare keeps nothing", fix="name what is to be loaded")
        show(
            here, ONLY, output, empty="everything that is installed is loaded, but what is blocked"
        )
        return
    candidates = installed()
    wanted = known_names(candidates, names, force=force)
    told = f"nothing is loaded but {words(wanted)}"
    if not bare and not any(_is_ours(name) for name in wanted):
        wanted = (*wanted, DISTRIBUTION)
        told = f"{told}, and what comes with the relay ({DISTRIBUTION}; `--bare` leaves it out)"
    change(here, Edit(key=ONLY, names=wanted), output, told)


def _is_ours(name: str) -> bool:
    """Tell whether a name is that of the relay's own distribution."""
    ours = [each for each in installed() if each.distribution == DISTRIBUTION]
    return len(answering(ours, name)) == len(ours)
