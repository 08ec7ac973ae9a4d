"""`agent-relay config`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

import click

from relay_cli.configuration import Entry, entries
from relay_cli.connection import look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Damaged, Usage
from relay_core.messages import Struct
from relay_core.variables import Reach


class ConfigReport(Struct):
    """What `config --json` prints; with a KEY, the entries that it names."""

    config: tuple[Entry, ...]


@click.command(
    "config",
    help="""Show each setting, what it is, and where that comes from.

    A value comes from an environment variable, else from a line of config.toml, else it is the
    default; what a session is called and can do comes from the environment, else from a profile.
    What stands below `session.` counts for the sessions that `agent-relay-codex start` opens from
    this shell and this folder, and nowhere else: plain `codex` sessions share one environment.

    KEY shows one value alone, or all that stand below it: `hub.port`, `hub.limits`, `session`; the
    name of a variable stands for what it sets. The token is never shown.
    """,
)
@click.argument("key", required=False)
@json_option
def command(key: str | None, output: Output) -> None:
    """Show what is set."""
    found = finish(entries(look_around(), os.environ), output, "asking the host")
    chosen = found if key is None else _named(key, found)
    output.show_object(ConfigReport(config=chosen))
    if key is not None and len(chosen) == 1:
        if chosen[0].problem is not None and not output.as_json:
            raise Damaged(chosen[0].problem, fix="agent-relay doctor")
        output.line(chosen[0].text)
        return
    _table([one for one in chosen if one.counts is not Reach.SESSION], output)
    session = [one for one in chosen if one.counts is Reach.SESSION]
    if session:
        if len(session) < len(chosen):
            output.line()
        output.line("These count for `agent-relay-codex start` only, typed in this shell:")
        _table(session, output)


def _table(rows: Iterable[Entry], output: Output) -> None:
    cells = [(one.key, one.text, _told_origin(one), one.variable or "-") for one in rows]
    if cells:
        output.table(("KEY", "VALUE", "FROM", "VARIABLE"), cells, empty="")


def _told_origin(entry: Entry) -> str:
    return entry.origin if entry.problem is None else f"{entry.origin}: {entry.problem}"


def _named(key: str, found: tuple[Entry, ...]) -> tuple[Entry, ...]:
    exact = [one for one in found if one.key == key or (key == one.variable and _leads(one))]
    chosen = exact or [one for one in found if one.key.startswith(f"{key}.")]
    if not chosen:
        known = [name for one in found for name in (one.key, one.variable or "")]
        close = difflib.get_close_matches(key, known, n=1)
        fix = f"did you mean {close[0]}?" if close else "agent-relay config"
        raise Usage(f"there is no setting {key!r}", fix=fix)
    return tuple(chosen)


def _leads(entry: Entry) -> bool:
    """AGENT_RELAY_HOME moves every place: of these, the folder stands for all."""
    return entry.variable != "AGENT_RELAY_HOME" or entry.key == "places.data"
