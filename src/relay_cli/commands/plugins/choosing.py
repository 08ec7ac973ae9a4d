"""What the commands that set `[plugins]` in config.toml share: what they print."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from relay_cli.connection import Here
from relay_cli.lifecycle import find_running
from relay_cli.output import Output
from relay_cli.plugin_settings import Edit, origin_of, warnings, write
from relay_cli.view import NOTHING, words
from relay_core.discovery import Candidate, answering, installed
from relay_core.messages import Struct
from relay_core.settings import PluginSettings

F = TypeVar("F", bound=Callable[..., Any])

RESTART = "agent-relay down && agent-relay up --detach"


class Choice(Struct):
    """What `plugins block`, `only` and `order` print with `--json`.

    `host_runs`: one runs that goes on with what was set before. `warnings` tell what the relay
    cannot do with these settings.
    """

    file: str
    changed: bool
    block: tuple[str, ...]
    only: tuple[str, ...] | None
    order: tuple[str, ...]
    host_runs: bool = False
    warnings: tuple[str, ...] = ()


def names_argument(function: F) -> F:
    """Add the names of plugins or distributions."""
    return click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_offered)(function)


def force_option(function: F) -> F:
    """Add `--force`."""
    return click.option(
        "--force", is_flag=True, help="Take a name that nothing installed has, for later."
    )(function)


def show(here: Here, key: str, output: Output, *, empty: str) -> None:
    """Print what is set."""
    chosen = here.settings.plugins
    names: tuple[str, ...] = getattr(chosen, key) or ()
    output.show_object(_choice(here, chosen))
    candidates = installed()
    output.table(
        ("NAME", "PLUGINS"),
        [(name, _meaning(candidates, name)) for name in names],
        empty=empty,
    )
    if names:
        output.line(f"set in {origin_of(here, key)}")


def change(here: Here, edit: Edit, output: Output, told: str) -> None:
    """Write it down, and print what it means."""
    before = here.settings.plugins
    if getattr(before, edit.key) == (edit.names or (None if edit.key == "only" else ())):
        output.show_object(_choice(here, before))
        output.line("nothing to change")
        return
    chosen = write(here, edit)
    candidates = installed()
    missing = warnings(candidates, chosen)
    runs = asyncio.run(find_running()) is not None
    output.show_object(_choice(here, chosen, changed=True, host_runs=runs, told=missing))
    output.line(told)
    output.line(f"written to {here.places.config_file}")
    for each in missing:
        output.remark(each)
    if runs:
        output.line(f"the running host goes on as before, until `{RESTART}`")


def _choice(
    here: Here,
    chosen: PluginSettings,
    *,
    changed: bool = False,
    host_runs: bool = False,
    told: tuple[str, ...] = (),
) -> Choice:
    return Choice(
        file=str(here.places.config_file),
        changed=changed,
        block=chosen.block,
        only=chosen.only,
        order=chosen.order,
        host_runs=host_runs,
        warnings=told,
    )


def _meaning(candidates: Sequence[Candidate], name: str) -> str:
    found = words(each.name for each in answering(candidates, name))
    return "(not installed)" if found == NOTHING else found


def _offered(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del context, parameter
    names = {label for each in installed() for label in (each.name, each.distribution)}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
