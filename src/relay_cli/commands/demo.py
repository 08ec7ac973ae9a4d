"""`agent-relay demo`."""

from __future__ import annotations

import asyncio
import os
import signal

import click
import msgspec

from relay_cli.demo.stage import WAIT_S, Stage
from relay_cli.demo.story import Finding, play_with_codex, play_with_echo
from relay_cli.demo.timeline import Timeline
from relay_cli.options import json_option, seconds
from relay_cli.output import Output
from relay_cli.problems import DEBUG_VARIABLE, ExitCode, NotProved
from relay_core.errors import AdapterError
from relay_plugins.codex.launcher import find_codex


@click.command(
    "demo",
    help="""See a message become a turn in a real session, proved.

    Starts a hub, a host and a real Codex app-server, whose model is a stub on this machine, in a
    throwaway home; lets a second agent send a message; shows what happened when; looks into the
    session a second time by another way; stops and removes everything. Where there is no Codex,
    agents that answer by themselves take part instead, and the last line says so.

    Ends with 0 only if the message was proved to be in the session, once; else with 5.
    """,
)
@click.option(
    "--wait",
    type=seconds,
    metavar="SECONDS",
    default=f"{WAIT_S:g}",
    show_default=True,
    help="Wait so long for the message to arrive, and for its turn to end.",
)
@json_option
def command(wait: float, output: Output) -> None:
    """Play the demo."""
    try:
        finding = asyncio.run(_play(output, wait))
    except asyncio.CancelledError:
        raise click.Abort from None
    output.show_object(finding)
    if not finding.proved:
        if output.as_json:
            raise click.exceptions.Exit(ExitCode.NOT_PROVED)
        raise NotProved(
            f"not proved: {finding.trouble}",
            fix=f"run it again with {DEBUG_VARIABLE}=1 to keep its folder with the logs",
        )
    output.line()
    took = f"delivered {finding.delivered_after_ms} ms after it was stored"
    if finding.codex_version is not None:
        version = finding.codex_version
        output.line(f"proved: one message, one turn in a real Codex {version} session, {took}")
    else:
        output.line(f"proved with echo agents, {took}; no Codex took part: {finding.fallback}")


async def _play(output: Output, wait_s: float) -> Finding:
    _cancel_when_terminated()
    timeline = Timeline(output)
    fallback = codex = None
    keep = os.environ.get(DEBUG_VARIABLE) == "1"
    async with Stage(os.environ, keep=keep, wait_s=wait_s) as stage:
        try:
            codex = await asyncio.to_thread(find_codex, stage.looking_for_codex(os.environ))
        except AdapterError as error:
            fallback = f"{error.detail}; {error.fix}" if error.fix else error.detail
        if codex is None:
            output.line(f"Agent Relay demo with echo agents, in {stage.root}")
            finding = await play_with_echo(stage, timeline)
        else:
            output.line(f"Agent Relay demo with Codex {codex.version}, in {stage.root}")
            finding = await play_with_codex(stage, timeline, codex)
    told = "is kept" if keep else "is removed"
    timeline.step("removed", f"everything has stopped, {stage.root} {told}")
    return msgspec.structs.replace(finding, fallback=fallback, steps=tuple(timeline.steps))


def _cancel_when_terminated() -> None:
    """Let SIGTERM do what Ctrl-C does: everything is stopped and removed on the way out."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
