"""`agent-relay plugins trace`."""

from __future__ import annotations

import asyncio
import time

import click

from relay_cli.commands.plugins.names import plugin_names
from relay_cli.completion import agent_ids
from relay_cli.connection import ask_host
from relay_cli.options import identifier, json_option
from relay_cli.output import Output
from relay_cli.problems import ExitCode
from relay_cli.view import NOTHING, shortened
from relay_core.hookspecs import HOOK_NAMES
from relay_core.host_api import TraceAnswer, TraceRequest
from relay_core.messages import Struct
from relay_core.plans import HookCall

WAIT_S = 5.0
MOST_COUNTED = 1_000_000
SHOWN_CHARACTERS = 80


class Wanted(Struct):
    """Which calls are shown; None for all."""

    hook: str | None = None
    plugin: str | None = None
    agent: str | None = None

    def fits(self, call: HookCall) -> bool:
        """Tell whether a call is one of them."""
        return (
            self.hook in (None, call.hook)
            and self.plugin in (None, call.plugin)
            and self.agent in (None, call.agent_id)
        )


@click.command(
    "trace",
    help="""Show every call of a plugin as it happens, with the time that it took.

    The running host is asked; it keeps the calls only while somebody looks. A line has the time,
    the microseconds inside the plugin, the hook, the plugin, the agent, the numbers of the
    messages, and the answer, or what went wrong. Runs until Ctrl-C.

    With `--json` each line is one object.

    \b
    Examples:
      agent-relay plugins trace
      agent-relay plugins trace --plugin translator
      agent-relay plugins trace --hook on_message --json
    """,
)
@click.option("--hook", type=click.Choice(HOOK_NAMES), help="Only calls of this hook.")
@click.option(
    "--plugin", metavar="NAME", shell_complete=plugin_names, help="Only calls of this plugin."
)
@click.option(
    "--agent",
    type=identifier,
    metavar="AGENT",
    shell_complete=agent_ids,
    help="Only calls about this agent's session.",
)
@click.option(
    "--count", type=click.IntRange(1, MOST_COUNTED), metavar="N", help="End after so many calls."
)
@json_option
def command(
    hook: str | None, plugin: str | None, agent: str | None, count: int | None, output: Output
) -> None:
    """Show the calls."""
    try:
        asyncio.run(_follow(Wanted(hook=hook, plugin=plugin, agent=agent), count, output))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None


async def _follow(wanted: Wanted, count: int | None, output: Output) -> None:
    after: int | None = None
    shown = 0
    if not output.as_json:
        output.remark("watching; Ctrl-C ends it")
    while True:
        request = TraceRequest(after=after, wait_s=0 if after is None else WAIT_S)
        answer = await ask_host("trace", request, TraceAnswer)
        if answer.dropped:
            output.remark(f"{answer.dropped} calls came too fast to be shown")
        after = answer.last
        for call in filter(wanted.fits, answer.calls):
            output.show_object(call)
            output.line(line_of(call))
            shown += 1
            if shown == count:
                return
        output.flush()


def line_of(call: HookCall) -> str:
    """Tell a call on one line."""
    at = time.strftime("%H:%M:%S", time.localtime(call.at_ms / 1000)) if call.at_ms else NOTHING
    messages = ",".join(map(str, call.message_ids)) or NOTHING
    said = shortened(bytes(call.answer).decode(), SHOWN_CHARACTERS)
    told = said if call.error is None else f"failed: {call.error}"
    who = f"{call.hook:<17} {call.plugin:<16} {call.agent_id or NOTHING}"
    return f"{at:<8} {call.took_us:>8.0f} µs  {who}  {messages}  {told}"
