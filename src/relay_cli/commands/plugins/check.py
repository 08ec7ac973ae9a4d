"""`agent-relay plugins check`."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.problems import ExitCode, Usage

if TYPE_CHECKING:  # the testing of the core is slow to import, and no other command needs it
    from relay_core.testing.adapter_report import CheckResult
    from relay_core.testing.installed_check import Checked

NO_DRIVER = (
    "no driver of this adapter is installed, so nothing else could be measured: "
    "docs/how-to/add-an-adapter.md"
)


def _names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from relay_core.testing.installed_check import known_names

    del context, parameter
    return [CompletionItem(name) for name in known_names() if name.startswith(incomplete)]


@click.command(
    "check",
    help="""Prove that a plugin fits, and measure what its adapter can really do.

    NAME is an installed plugin, or an adapter. The plugin is loaded, and its hooks are asked sample
    questions: the answers must be of the right kind, and the same for the same question. An adapter
    is then driven with a real agent, made for this and ended with it, through every check of the
    conformance kit: what it claims, what counts as evidence, and that a message is in the session
    once when agent or host die at any step. Nothing of yours is touched.

    Ends with 1 when a check failed. A check that cannot be made says why.

    \b
    Examples:
      agent-relay plugins check relay.prompt
      agent-relay plugins check echo
      agent-relay plugins check codex --program ~/bin/codex
      agent-relay plugins check codex --markdown > codex.md
    """,
)
@click.argument("name", metavar="NAME", shell_complete=_names)
@click.option(
    "--program",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The agent's program, where the one that is found is not the one that is meant.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables for a page.")
@json_option
def command(name: str, program: Path | None, as_markdown: bool, output: Output) -> None:
    """Check a plugin or an adapter."""
    from relay_core.testing.adapter_report import markdown

    checked = _checked(name, program, output)
    output.show_object(checked)
    if as_markdown:
        output.block("\n\n".join(markdown(each) for each in checked.adapters))
    else:
        _print(checked, output)
    if not checked.ok:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _checked(name: str, program: Path | None, output: Output) -> Checked:
    from relay_core.testing.adapter_driver import Options
    from relay_core.testing.installed_check import check_installed, known_names

    if name not in known_names():
        fix = f"use one of {', '.join(known_names())}"
        raise Usage(f"no plugin or adapter is called {name}", fix=fix)
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        work = check_installed(
            name,
            folder=Path(folder),
            environ=os.environ,
            options=Options(program=program),
            progress=lambda line: output.progress(f"{line} …"),
        )
        try:
            return asyncio.run(work)
        finally:
            output.progress_done()


def _print(checked: Checked, output: Output) -> None:
    if checked.plugin is not None:
        plugin = checked.plugin
        output.line(f"{plugin.plugin} of {plugin.distribution} {plugin.version}".rstrip())
        _print_checks(plugin.checks, output)
        output.line()
    for report in checked.adapters:
        output.line(f"adapter {report.adapter}, measured with {report.agent}")
        _print_checks(report.checks, output)
        output.line()
        output.table(
            ("CAPABILITY", "CLAIMED", "MEASURED", ""),
            [(row.name, row.claimed, row.measured, row.why) for row in report.matrix],
            empty="nothing was measured",
        )
        output.line()
    for adapter in checked.undriven:
        output.line(f"adapter {adapter}: {NO_DRIVER}")
        output.line()
    failed = _failed(checked)
    output.line(f"{failed} failed" if failed else "nothing failed")


def _print_checks(checks: Sequence[CheckResult], output: Output) -> None:
    output.table(
        ("RESULT", "CHECK", "SEEN"),
        [(str(each.verdict), each.line, each.detail) for each in checks],
        empty="nothing was checked",
    )


def _failed(checked: Checked) -> int:
    own = checked.plugin.failed if checked.plugin is not None else ()
    return len(own) + sum(len(report.failed) for report in checked.adapters)
