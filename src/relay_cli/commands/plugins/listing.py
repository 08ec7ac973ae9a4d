"""`agent-relay plugins list`."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from relay_cli.connection import Here, ask_host, look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING
from relay_core.control import HostUnreachable
from relay_core.discovery import (
    AskedAt,
    Candidate,
    PluginReport,
    PluginState,
    allowed,
    answering,
    discover,
    installed,
)
from relay_core.hookspecs import HOOK_NAMES
from relay_core.messages import Struct

KEYS = ("block", "only", "order")
RESTART = "agent-relay down && agent-relay up --detach"


class SetBy(Struct):
    """A setting that says something of a plugin, and where it stands: FILE:LINE."""

    key: str
    origin: str


class PluginRow(PluginReport):
    """One plugin, with what the settings say of it."""

    set_by: tuple[SetBy, ...] = ()


class PluginRows(Struct):
    """What `plugins --json` prints.

    `stale`: the settings have changed since the running host has read them.
    """

    plugins: tuple[PluginRow, ...]
    stale: bool = False


class _Reports(Struct):
    plugins: tuple[PluginReport, ...]


@click.command(
    "list",
    help="""List the plugins and what became of them.

    The running host is asked; where none runs, the plugins are loaded here as it would load them.
    ORDER is the place in which a plugin is asked. SET BY names the settings in config.toml that say
    something of it.

    \b
    Examples:
      agent-relay plugins list
      agent-relay plugins list --hook choose_delivery
    """,
)
@click.option(
    "--hook",
    type=click.Choice(HOOK_NAMES),
    metavar="HOOK",
    help="Only who is asked for this hook, the one asked first in front.",
)
@json_option
def command(hook: str | None, output: Output) -> None:
    """List the plugins."""
    rows = finish(_look(), output, "asking the host")
    if hook is not None:
        places = [(at.place, each) for each in rows.plugins if (at := _place(each, hook))]
        asked = sorted(places, key=lambda each: each[0])
        rows = msgspec.structs.replace(rows, plugins=tuple(each for _, each in asked))
    output.show_object(rows)
    if hook is None:
        _print(rows.plugins, output)
    else:
        _print_hook(rows.plugins, hook, output)
    if rows.stale:
        output.remark(f"the settings have changed since the host has read them — run `{RESTART}`")


def _print(rows: Sequence[PluginRow], output: Output) -> None:
    columns = ("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "ORDER", "HOOKS", "SET BY", "REASON")
    output.table(
        columns,
        [
            (
                row.name,
                row.distribution,
                row.version,
                str(row.state),
                NOTHING if row.order is None else str(row.order),
                ", ".join(row.hooks) or NOTHING,
                ", ".join(each.key for each in row.set_by) or NOTHING,
                row.reason or NOTHING,
            )
            for row in rows
        ],
        empty="no plugins are installed; install agent-relay-codex again",
    )


def _print_hook(rows: Sequence[PluginRow], hook: str, output: Output) -> None:
    output.table(
        ("", "PLUGIN", "STATE", "MARKS", "REASON"),
        [
            (
                str(number),
                row.name,
                str(row.state),
                ", ".join(place.marks) or NOTHING,
                row.reason or NOTHING,
            )
            for number, row in enumerate(rows, start=1)
            if (place := _place(row, hook)) is not None
        ],
        empty=f"no plugin answers {hook}",
    )


def _place(row: PluginReport, hook: str) -> AskedAt | None:
    return next((each for each in row.asked if each.hook == hook), None)


# --- looking ---------------------------------------------------------------------------------


async def _look() -> PluginRows:
    here, candidates = look_around(), installed()
    chosen = here.settings.plugins
    try:
        reports = (await ask_host("plugins", None, _Reports)).plugins
        stale = _is_stale(here, candidates, reports)
    except HostUnreachable:
        found = discover(candidates, block=chosen.block, order=chosen.order, only=chosen.only)
        reports, stale = found.reports, False
    return PluginRows(plugins=tuple(_row(each, here, candidates) for each in reports), stale=stale)


def _row(report: PluginReport, here: Here, candidates: Sequence[Candidate]) -> PluginRow:
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    return PluginRow(**fields, set_by=tuple(_set_by(report, here, candidates)))


def _set_by(report: PluginReport, here: Here, candidates: Sequence[Candidate]) -> Sequence[SetBy]:
    chosen = here.settings.plugins
    own = [
        each
        for each in candidates
        if (each.name, each.distribution) == (report.name, report.distribution)
    ]
    named = {
        key for key in KEYS if any(answering(own, name) for name in getattr(chosen, key) or ())
    }
    if chosen.only is not None:
        named.add("only")  # it says of each plugin whether it is loaded
    origins = {one.key: one.origin for one in here.settings.origins}
    return [
        SetBy(key=f"plugins.{key}", origin=origins[f"plugins.{key}"])
        for key in KEYS
        if key in named
    ]


def _is_stale(here: Here, candidates: Sequence[Candidate], reports: Sequence[PluginReport]) -> bool:
    """Tell whether the host lets other plugins load than the settings of now."""
    chosen = here.settings.plugins
    now = allowed(candidates, block=chosen.block, only=chosen.only)
    then = {
        (each.name, each.distribution) for each in reports if each.state is not PluginState.BLOCKED
    }
    return then != {(each.name, each.distribution) for each in now}
