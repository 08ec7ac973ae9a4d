"""`agent-relay inbox`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, shortened
from relay_core.hub_client import INBOX_PAGE, HubClient
from relay_core.messages import OPERATOR, Message, Struct

SHOWN_CHARACTERS = 60


class Inbox(Struct):
    """What `inbox --json` prints; `more` says that older ones were left out."""

    messages: tuple[Message, ...]
    more: bool = False


@click.command(
    "inbox",
    help="""List the messages for an agent.

    The newest 100, oldest first; every one with `--all` or `--since`. Looking changes nothing: what
    waits for the agent still waits. What was sent to you, the person at the keyboard, is in the
    inbox of `operator`.
    """,
)
@click.argument("agent")
@click.option(
    "--since",
    type=click.IntRange(min=0, max=2**63 - 1),
    metavar="ID",
    help="Every message after this one.",
)
@click.option("--all", "every", is_flag=True, help="Every message, not only the newest.")
@url_option
@json_option
def command(agent: str, since: int | None, every: bool, output: Output, url: str | None) -> None:
    """List an agent's messages."""
    first = 0 if every and since is None else since
    inbox = finish(_look(agent, first, url), output, "asking the hub")
    output.show_object(inbox)
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
            for message in inbox.messages
        ],
        empty=f"no messages for {agent}",
    )
    if inbox.more:
        output.line(f"there are older ones: `agent-relay inbox {agent} --all` shows every one")


async def _look(agent: str, since: int | None, url: str | None) -> Inbox:
    async with open_hub(url) as hub:
        if agent != OPERATOR:  # who is no agent, but gets answers
            await hub.agent(agent)
        if since is not None:
            return Inbox(messages=await _every_one(hub, agent, since))
        found = await hub.newest(agent, most=INBOX_PAGE + 1)
        return Inbox(messages=found[-INBOX_PAGE:], more=len(found) > INBOX_PAGE)


async def _every_one(hub: HubClient, agent: str, since: int) -> tuple[Message, ...]:
    """Ask for page after page, until one is not full."""
    messages: list[Message] = []
    while page := await hub.inbox(agent, since=since):
        messages += page
        since = page[-1].id
        if len(page) < INBOX_PAGE:
            break
    return tuple(messages)
