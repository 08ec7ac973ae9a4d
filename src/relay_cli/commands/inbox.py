"""`agent-relay inbox`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, shortened
from relay_core.messages import OPERATOR, Message, Struct

SHOWN_CHARACTERS = 60


class Inbox(Struct):
    """What `inbox --json` prints."""

    messages: tuple[Message, ...]


@click.command(
    "inbox",
    help="""List the messages for an agent.

    Oldest first. Looking changes nothing: what waits for the agent still waits. What was sent to
    you, the person at the keyboard, is in the inbox of `operator`.
    """,
)
@click.argument("agent")
@click.option(
    "--since",
    type=click.IntRange(min=0, max=2**63 - 1),
    default=0,
    metavar="ID",
    help="Only messages after this one.",
)
@url_option
@json_option
def command(agent: str, since: int, output: Output, url: str | None) -> None:
    """List an agent's messages."""
    messages = finish(_messages(agent, since, url), output, "asking the hub")
    output.show_object(Inbox(messages=messages))
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("ID", "FROM", "SUBJECT", "MESSAGE", "SENT"),
        [
            (
                str(message.id),
                message.from_,
                message.subject or NOTHING,
                shortened(message.body, SHOWN_CHARACTERS),
                ago(message.created_at, now_ms),
            )
            for message in messages
        ],
        empty=f"no messages for {agent}",
    )


async def _messages(agent: str, since: int, url: str | None) -> tuple[Message, ...]:
    async with open_hub(url) as hub:
        if agent != OPERATOR:  # who is no agent, but gets answers
            await hub.agent(agent)
        return await hub.inbox(agent, since=since)
