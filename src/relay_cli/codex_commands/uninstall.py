"""`agent-relay-codex uninstall`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import click

from relay_cli.codex_program import codex_environ
from relay_cli.connection import look_around
from relay_cli.consent import agree, must_ask
from relay_cli.lifecycle import find_running, stop_running
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import ExitCode
from relay_core.control import HostUnreachable
from relay_core.errors import AdapterError
from relay_core.messages import Struct
from relay_plugins.codex import codex_home
from relay_plugins.codex.hook_launcher import launcher_folder
from relay_plugins.codex.install import Step, name_of
from relay_plugins.codex.installed import look
from relay_plugins.codex.launcher import find_codex
from relay_plugins.codex.login_service import this_service
from relay_plugins.codex.uninstall import (
    Leftovers,
    StopHost,
    needs_codex,
    plan_removal,
    remove,
    remove_from_codex,
)


class StepReport(Struct):
    """One thing that was done; `complaint` says what could not be."""

    step: str
    detail: str
    complaint: str | None = None


class UninstallReport(Struct):
    """What `uninstall --json` prints; `changed` is empty where nothing was there."""

    changed: tuple[StepReport, ...]
    codex_home: str


@click.command(
    "uninstall",
    help="""Take the relay's plugin out of Codex.

    Removes the plugin, its marketplace, the trust in its hook, the launcher and what runs the host
    at login. Mail, settings and a running host stay, unless `--purge` is given: then nothing of the
    relay is left but the package itself.
    """,
)
@click.option("--purge", is_flag=True, help="Also stop the host; remove mail, settings and logs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(purge: bool, yes: bool, output: Output) -> None:
    """Uninstall the plugin."""
    here = look_around()
    home = codex_home(os.environ)
    asks = must_ask(output, yes=yes, fix="--yes")
    left = Leftovers(
        service=this_service(os.environ),
        host_runs=asyncio.run(find_running()) is not None,
        launcher_folder=launcher_folder(os.environ),
        places=here.places,
    )
    found = look(os.environ, here.places, home)
    steps = plan_removal(found, left, purge=purge)
    if asks and steps:
        output.line("This will be done:")
        for step in steps:
            output.line(f"  - {step.words}")
        agree("Do it?", default=not purge)
    done = tuple(_do(step, home, output) for step in steps)
    output.show_object(UninstallReport(changed=done, codex_home=str(home)))
    if any(one.complaint for one in done):
        output.flush()
        raise click.exceptions.Exit(ExitCode.FAILED)
    if not done:
        output.line("nothing to remove: the plugin is not installed")
    elif purge:
        output.line("the package itself is left: `pip uninstall agent-relay-codex` removes it")


def _do(step: Step, home: Path, output: Output) -> StepReport:
    if isinstance(step, StopHost):
        _stop(output)
        complaint = None
    elif needs_codex(step):
        complaint = _let_codex(step, home, output)
    else:
        complaint = remove(step, os.environ)
    if complaint is None:
        output.line(f"done: {step.words}")
    else:
        output.remark(f"not done: {step.words}: {complaint}")
    return StepReport(step=name_of(step), detail=step.words, complaint=complaint)


def _let_codex(step: Step, home: Path, output: Output) -> str | None:
    """Let Codex do a step; what keeps it from that does not keep us from removing the rest."""
    try:
        codex = find_codex(codex_environ(look_around().settings, os.environ))
        finish(remove_from_codex(step, codex, home, os.environ), output, step.words)
    except AdapterError as error:
        return error.detail
    return None


def _stop(output: Output) -> None:
    with contextlib.suppress(HostUnreachable):  # it has ended by itself meanwhile
        asyncio.run(stop_running(output))
