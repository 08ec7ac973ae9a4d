"""`agent-relay thread`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from relay_cli.connection import open_hub
from relay_cli.options import before_option, json_option, limit_option, message_number, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago
from relay_core.hub_api import MessageView
from relay_core.messages import MessageId, Struct
from relay_core.receipts import told_together

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

MOST = 20


class Conversation(Struct):
    """What `thread --json` prints; `more` is how many older ones were left out."""

    messages: tuple[MessageView, ...]
    more: int = 0


@click.command(
    "thread",
    help="""Show a conversation: a message, what it answers and what answered it.

    MESSAGE is the number of any message in it. The newest ones are shown, oldest first, each with
    where its deliveries stand. Looking changes nothing.

    \b
    Examples:
      agent-relay thread 12
      agent-relay thread 12 --limit 100
      agent-relay thread 12 --json | jq -r '.messages[] | "\\(.from): \\(.body)"'
    """,
)
@click.argument("message_id", metavar="MESSAGE", type=message_number)
@before_option
@limit_option(MOST)
@url_option
@json_option
def command(
    message_id: int, before: int | None, limit: int, output: Output, url: str | None
) -> None:
    """Show a conversation."""
    found = finish(_conversation(message_id, url), output, "asking the hub")
    older = [view for view in found if before is None or view.id < before]
    shown = older[-limit:]
    more = len(older) - len(shown)
    output.show_object(Conversation(messages=tuple(shown), more=more))
    now_ms = time.time_ns() // 1_000_000
    if not shown:
        output.line(f"nothing in this conversation is older than {before}")
    for number, view in enumerate(shown):
        if number:
            output.line()
        _print(view, now_ms, output)
    if more:
        output.line()
        output.more(f"agent-relay thread {message_id} --before {shown[0].id}", more)


def _print(view: MessageView, now_ms: int, output: Output) -> None:
    answers = "" if view.reply_to is None else f", answers {view.reply_to}"
    output.line(f"{view.id}  {view.from_} to {view.to}, {ago(view.created_at, now_ms)}{answers}")
    if view.subject:
        output.line(f"    subject: {view.subject}")
    output.block("\n".join(f"    {line}".rstrip() for line in view.body.split("\n")))
    for told in told_together(view) or (NOTHING,):
        output.line(f"    ({told})")


async def _conversation(message_id: int, url: str | None) -> tuple[MessageView, ...]:
    async with open_hub(url) as hub:
        return await _every_page(hub, message_id)


async def _every_page(hub: HubClient, message_id: int) -> tuple[MessageView, ...]:
    found: dict[MessageId, MessageView] = {}
    while True:
        page = await hub.thread(message_id, since=max(found, default=0))
        new = {view.id: view for view in page if view.id not in found}
        found |= new
        # A page may hold less than was asked for: what an agent may not see is left out of it.
        if not new:
            return tuple(found.values())
