"""`agent-relay guard`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import open_hub
from relay_cli.deciding import ListByDefault
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.view import ago
from relay_core.guards import Guard, GuardKind, GuardList
from relay_core.messages import Struct

WHY = {
    "hops": "answers in a row",
    "conversation": "messages in a short time",
    "turns": "turns of an hour",
}


class Reset(Struct):
    """What `guard reset --json` prints."""

    reset: tuple[Guard, ...]


@click.group(
    "guard",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""See which agents the guard against loops has stopped, and let them go on.

    Agents that answer each other too often in a row, or say too much in one conversation in a short
    time, are stopped there; an agent that others have given all its turns of an hour gets their
    mail later. You are told once, by a message for the operator. What you send yourself is never
    stopped. Without a command below, what is stopped is listed. Every command takes `--json`.

    \b
    Examples:
      agent-relay guard
      agent-relay guard reset 12
      agent-relay guard reset codex-web-a1b2c3d4e5f6
      agent-relay guard reset --all
    """,
)
def command() -> None:
    """See to what was stopped."""


@command.command("list", help="List what is stopped, the newest first.")
@url_option
@json_option
def list_(output: Output, url: str | None) -> None:
    """List what is stopped."""
    found = finish(_stopped(url), output, "asking the hub")
    output.show_object(GuardList(guards=found))
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("STOPPED", "WHAT", "WHY", "FROM", "TO", "REFUSED SINCE"),
        [
            (
                ago(each.stopped_ms, now_ms),
                _what(each),
                WHY.get(each.reason, each.reason),
                each.sender,
                each.recipient,
                str(each.refused),
            )
            for each in found
        ],
        empty="nothing is stopped",
    )


@command.command(
    "reset",
    help="""Let what was stopped go on.

    WHAT is the number of any message of the conversation, or the id of the agent whose turns are
    spent. What was refused is not sent by itself: whoever goes on writes again.
    """,
)
@click.argument("subjects", metavar="[WHAT]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Everything that is stopped.")
@url_option
@json_option
def reset(subjects: tuple[str, ...], every: bool, output: Output, url: str | None) -> None:
    """Let it go on."""
    if every == bool(subjects):
        raise Usage("say what may go on", fix="name each WHAT, or use --all")
    done = finish(_reset(subjects, url), output, "asking the hub")
    output.show_object(Reset(reset=done))
    for each in done:
        output.line(f"{_what(each)} may go on")
    if not done:
        output.line("nothing is stopped")


async def _stopped(url: str | None) -> tuple[Guard, ...]:
    async with open_hub(url) as hub:
        return await hub.guards()


async def _reset(subjects: tuple[str, ...], url: str | None) -> tuple[Guard, ...]:
    async with open_hub(url) as hub:
        wanted = subjects or tuple(each.subject for each in await hub.guards())
        return tuple([await hub.reset_guard(each) for each in wanted])


def _what(guard: Guard) -> str:
    of_agent = guard.kind is GuardKind.TURNS
    return f"turns of {guard.subject}" if of_agent else f"conversation {guard.subject}"
