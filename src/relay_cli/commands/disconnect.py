"""`agent-relay disconnect`."""

from __future__ import annotations

import click

from relay_cli.caller import as_option
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.pairing import end_pair, print_pair
from relay_cli.patience import finish


@click.command(
    "disconnect",
    help="""Hang up the pair that an agent is in.

    Takes an invitation back that nobody has answered, too. The session stays connected to the
    relay: only the pair ends. Ends with 1 where the agent is in no pair.

    \b
    Examples:
      agent-relay disconnect
      agent-relay disconnect --as codex-web-a1b2c3d4e5f6 --json
    """,
)
@as_option
@url_option
@json_option
def command(acting_as: str | None, output: Output, url: str | None) -> None:
    """Hang up."""
    pair = finish(end_pair(None, acting_as, url), output, "hanging up")
    output.show_object(pair)
    print_pair(pair, output)
