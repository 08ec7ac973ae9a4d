"""`agent-relay doctor`."""

from __future__ import annotations

import os

import click

from relay_cli.doctor.facts import Facts
from relay_cli.doctor.judging import judge
from relay_cli.doctor.kinds import Finding, Severity
from relay_cli.doctor.looking import look
from relay_cli.doctor.mending import Mended, mend
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import ExitCode
from relay_cli.view import NOTHING
from relay_core.messages import Struct


class DoctorReport(Struct):
    """What `doctor --json` prints; `mended` is empty without `--fix`."""

    healthy: bool
    findings: tuple[Finding, ...]
    mended: tuple[Mended, ...] = ()


@click.command(
    "doctor",
    help="""Find what is wrong, and say what mends it.

    Looks at variables, files, plugins, Codex, the installation, the host, the hub and the mail, and
    changes nothing. Each finding has a code, a line that says what is wrong, and a command or
    advice that mends it.

    With `--fix` it mends what is safe: rights of its own files, a stale socket, the launcher, a
    host that does not run. It never trusts hooks and removes no mail.

    Ends with 0 when nothing is wrong, else with 1; a note is nothing wrong.
    """,
)
@click.option("--fix", is_flag=True, help="Mend what is safe, then look again.")
@json_option
def command(fix: bool, output: Output) -> None:
    """Find what is wrong."""
    facts = finish(look(os.environ), output, "looking")
    findings = judge(facts)
    mended: tuple[Mended, ...] = ()
    if fix:
        mended = finish(mend(findings, facts, output), output, "mending")
        facts = finish(look(os.environ), output, "looking again") if mended else facts
        findings = judge(facts)
    healthy = all(one.severity is not Severity.WRONG for one in findings)
    output.show_object(DoctorReport(healthy=healthy, findings=findings, mended=mended))
    _show(facts, findings, mended, output)
    if not healthy:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _show(
    facts: Facts, findings: tuple[Finding, ...], mended: tuple[Mended, ...], output: Output
) -> None:
    for each in mended:
        told = f"mended: {each.done}" if each.failed is None else f"not mended: {each.failed}"
        output.line(f"{each.code}  {told}")
    if mended:
        output.line()
    output.fields(_summary(facts))
    for one in findings:
        output.line()
        output.line(f"{one.severity}: {one.code}: {one.detail}")
        if one.command is not None:
            output.line(f"  $ {one.command}")
        if one.advice is not None:
            output.line(f"  {one.advice}")
    wrong = sum(one.severity is Severity.WRONG for one in findings)
    output.line()
    output.line(_verdict(wrong, any(one.safe for one in findings) and not mended))


def _summary(facts: Facts) -> list[tuple[str, str]]:
    host, hub, codex = facts.host, facts.hub, facts.codex
    return [
        ("codex", f"{codex.version}, {codex.path}" if codex and codex.path else NOTHING),
        ("host", f"pid {host.pid}, version {host.version}" if host.version else NOTHING),
        ("hub", f"{hub.url} (by {hub.origin}): {hub.state}" if hub else NOTHING),
    ]


def _verdict(wrong: int, fixable: bool) -> str:
    if not wrong:
        return "nothing is wrong"
    told = "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    return f"{told}; agent-relay doctor --fix mends what is safe" if fixable else told
