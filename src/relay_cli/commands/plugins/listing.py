"""`agent-relay plugins list`."""

from __future__ import annotations

import click

from relay_cli.connection import ask_host, look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING
from relay_core.control import HostUnreachable
from relay_core.discovery import PluginReport, asked_in_order, discover, installed
from relay_core.hookspecs import HOOK_NAMES
from relay_core.host_api import PluginList


@click.command(
    "list",
    help="""List the plugins and what became of them.

    The running host is asked; where none runs, the plugins are loaded here as it would load them.
    PLACE is the order in which the loaded ones are asked. With `--hook` it is shown who is asked in
    that hook, in order: wrappers first, for they stand round the others, then those that want to be
    first, and the relay's own last.

    \b
    Examples:
      agent-relay plugins
      agent-relay plugins list --hook format_prompt
    """,
)
@click.option("--hook", type=click.Choice(HOOK_NAMES), help="Show who is asked in this hook.")
@json_option
def command(hook: str | None, output: Output) -> None:
    """List the plugins."""
    found = finish(_look(), output, "asking the host")
    output.show_object(found)
    if hook is None:
        _print_plugins(found, output)
    else:
        _print_asked(found, hook, output)


def _print_plugins(found: PluginList, output: Output) -> None:
    output.table(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PLACE", "HOOKS", "REASON"),
        [
            (
                row.name,
                row.distribution,
                row.version,
                str(row.state),
                NOTHING if row.place is None else str(row.place),
                ", ".join(row.hooks) or NOTHING,
                row.reason or "; ".join(row.notes) or NOTHING,
            )
            for row in sorted(found.plugins, key=_by_place)
        ],
        empty="no plugins are installed; install agent-relay-codex again",
    )


def _print_asked(found: PluginList, hook: str, output: Output) -> None:
    reports = {each.name: each for each in found.plugins}
    output.table(
        ("", "PLUGIN", "DISTRIBUTION", "ASKED AS"),
        [
            (str(number), each.plugin, reports[each.plugin].distribution, str(each.mark or NOTHING))
            for number, each in enumerate(found.asked.get(hook, ()), start=1)
        ],
        empty=f"no plugin that is loaded answers {hook}",
    )


def _by_place(report: PluginReport) -> tuple[bool, int, str]:
    return report.place is None, report.place or 0, report.name


async def _look() -> PluginList:
    try:
        return await ask_host("plugins", None, PluginList)
    except HostUnreachable:
        chosen = look_around().settings.plugins
        found = discover(installed(), block=chosen.block, order=chosen.order, only=chosen.only)
        return PluginList(plugins=found.reports, asked=asked_in_order(found.manager))
