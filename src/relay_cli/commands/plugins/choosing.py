"""`agent-relay plugins block`, `only` and `order`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from relay_cli.commands.plugins.names import plugin_or_distribution_names
from relay_cli.connection import Here, ask_host, look_around
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.plugin_choice import with_blocked, without_blocked, written
from relay_cli.problems import Usage
from relay_cli.view import NOTHING
from relay_core.control import HostUnreachable
from relay_core.discovery import (
    DISTRIBUTION,
    PluginState,
    discover,
    installed,
    unmatched,
)
from relay_core.errors import PluginConflict
from relay_core.hooks import MUST_ANSWER
from relay_core.host_api import Ping
from relay_core.messages import Struct
from relay_core.settings import PluginSettings, parse
from relay_core.user_files import make_private_folder, read_user_file, replace_user_file

F = TypeVar("F", bound=Callable[..., Any])

RESTART = "agent-relay down && agent-relay up --detach"


class PluginChoice(Struct):
    """What `plugins block|only|order --json` prints.

    `unanswered` are hooks that must be answered and that no plugin would answer now.
    """

    file: str
    changed: bool
    block: tuple[str, ...]
    only: tuple[str, ...] | None
    order: tuple[str, ...]
    unanswered: tuple[str, ...] = ()
    host_runs: bool = False


def _choice_options(function: F) -> F:
    options = (
        click.argument(
            "names", nargs=-1, metavar="[NAME]...", shell_complete=plugin_or_distribution_names
        ),
        click.option("--undo", is_flag=True, help="Take it back."),
        click.option("--force", is_flag=True, help="Take a name that nothing installed has."),
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    "block",
    help="""Keep plugins from being loaded; nothing of them is imported any more.

    A NAME is that of a plugin or of a distribution, which stands for all its plugins. It is written
    into `[plugins]` of config.toml; comments and layout there stay. Without a NAME it is shown what
    is blocked. With `--undo` they may load again.

    \b
    Examples:
      agent-relay plugins block night-rest
      agent-relay plugins block night-rest --undo
    """,
)
@_choice_options
def block(names: tuple[str, ...], undo: bool, force: bool, output: Output) -> None:
    """Block plugins, or let them in again."""
    if undo and not names:
        raise Usage("say which ones may load again", fix="agent-relay plugins block")
    here = look_around()
    chosen = here.settings.plugins
    if undo:
        _refuse_not_in(names, chosen.block, "blocked")
        _change(here, without_blocked(chosen, names), output)
    else:
        _refuse_strangers(names, force=force)
        _change(here, with_blocked(chosen, names), output)


@click.command(
    "only",
    help="""Load these plugins and nothing else, whatever is installed.

    The relay's own plugins go on, unless `--bare` is given: then only what is named is loaded.
    Without a NAME it is shown what is set. With `--undo` everything installed is loaded again.

    \b
    Examples:
      agent-relay plugins only night-rest
      agent-relay plugins only --undo
    """,
)
@click.option("--bare", is_flag=True, help="Leave out the relay's own plugins as well.")
@_choice_options
def only(names: tuple[str, ...], undo: bool, force: bool, bare: bool, output: Output) -> None:
    """Load nothing but these."""
    if undo and names:
        raise Usage("--undo takes no NAME: everything is loaded again", fix="leave the names out")
    if bare and not names:
        raise Usage("--bare needs a NAME", fix="name what is to be loaded")
    here = look_around()
    chosen = here.settings.plugins
    if undo:
        _change(here, msgspec.structs.replace(chosen, only=None), output)
        return
    _refuse_strangers(names, force=force)
    wanted = chosen.only
    if names:
        wanted = tuple(dict.fromkeys(names if bare else (DISTRIBUTION, *names)))
    _change(here, msgspec.structs.replace(chosen, only=wanted), output)


@click.command(
    "order",
    help="""Ask these plugins first, in this order; the others follow by their names.

    The relay's own plugins are always asked after those of others. Without a NAME it is shown what
    is set. With `--undo` all are asked by their names.

    \b
    Examples:
      agent-relay plugins order redaction translator
      agent-relay plugins order --undo
    """,
)
@_choice_options
def order(names: tuple[str, ...], undo: bool, force: bool, output: Output) -> None:
    """Set the order."""
    if undo and names:
        raise Usage("--undo takes no NAME: the order is taken away", fix="leave the names out")
    here = look_around()
    chosen = here.settings.plugins
    _refuse_strangers(names, force=force)
    wanted = () if undo else tuple(dict.fromkeys(names)) or chosen.order
    _change(here, msgspec.structs.replace(chosen, order=wanted), output)


# --- changing ------------------------------------------------------------------------------------


def _change(here: Here, after: PluginSettings, output: Output) -> None:
    file, before = here.places.config_file, here.settings.plugins
    changed = after != before
    if changed:
        text = read_user_file(file) or ""
        fresh = written(text, before, after)
        parse({}, fresh, file=file)  # what cannot be read again is not written
        make_private_folder(file.parent)
        replace_user_file(file.resolve(), fresh.encode())  # a link stays one
    _show(
        PluginChoice(
            file=str(file),
            changed=changed,
            block=after.block,
            only=after.only,
            order=after.order,
            unanswered=_unanswered(after) if changed else (),
            host_runs=changed and finish(_host_runs(), output, "asking the host"),
        ),
        output,
    )


def _show(choice: PluginChoice, output: Output) -> None:
    output.show_object(choice)
    everything = "everything that is installed"
    output.fields(
        [
            ("file", choice.file),
            ("block", ", ".join(choice.block) or NOTHING),
            ("only", everything if choice.only is None else ", ".join(choice.only)),
            ("order", ", ".join(choice.order) or "by name"),
        ]
    )
    if choice.unanswered:
        hooks = ", ".join(choice.unanswered)
        output.remark(f"no plugin that would be loaded answers {hooks}: no message is delivered")
    if choice.host_runs:
        output.remark(f"the running host takes it up when it starts again: {RESTART}")


def _unanswered(chosen: PluginSettings) -> tuple[str, ...]:
    """The hooks without which nothing is delivered, and that nobody would answer."""
    try:
        found = discover(installed(), block=chosen.block, order=chosen.order, only=chosen.only)
    except PluginConflict:
        return ()  # which of the two would answer cannot be said; `plugins` says what to do
    loaded = [each for each in found.reports if each.state is PluginState.LOADED]
    answered = {hook for each in loaded for hook in each.hooks}
    return tuple(hook for hook in MUST_ANSWER if hook not in answered)


async def _host_runs() -> bool:
    try:
        await ask_host("ping", None, Ping)
    except HostUnreachable:
        return False
    return True


def _refuse_strangers(names: tuple[str, ...], *, force: bool) -> None:
    strangers = () if force else unmatched(installed(), names)
    if not strangers:
        return
    known = sorted({label for each in installed() for label in (each.name, each.distribution)})
    near = difflib.get_close_matches(strangers[0], known, n=1)
    fix = f"did you mean {near[0]}?" if near else "use --force for what is not installed yet"
    raise Usage(f"no plugin and no distribution called {strangers[0]} is installed", fix=fix)


def _refuse_not_in(names: tuple[str, ...], there: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        raise Usage(f"{missing[0]} is not {what}", fix="agent-relay plugins block")
