"""`agent-relay inbox`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from relay_cli.caller import reading_agent
from relay_cli.completion import readers
from relay_cli.connection import open_hub
from relay_cli.options import before_option, identifier, json_option, limit_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.view import NOTHING, ago, shortened
from relay_core.hub_api import INBOX_PAGE
from relay_core.messages import OPERATOR, Message, Struct

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHOWN_CHARACTERS = 60
MOST = 100


class Inbox(Struct):
    """What `inbox --json` prints; `more` says that older ones were left out."""

    messages: tuple[Message, ...]
    more: bool = False


@click.command(
    "inbox",
    help="""List the messages for an agent.

    Without AGENT, those for the session that this shell is in; in a shell of your own those for
    `operator`, the person at the keyboard. The newest ones are shown, oldest first; every one with
    `--all` or `--since`. Looking changes nothing: what waits for the agent still waits.

    \b
    Examples:
      agent-relay inbox
      agent-relay inbox codex-web-a1b2c3d4e5f6 --limit 10
      agent-relay inbox operator --since 120 --json
    """,
)
@click.argument("agent", required=False, type=identifier, shell_complete=readers)
@click.option(
    "--since",
    type=click.IntRange(min=0, max=2**63 - 1),
    metavar="ID",
    help="Every message after this one.",
)
@before_option
@limit_option(MOST)
@click.option("--all", "every", is_flag=True, help="Every message, not only the newest.")
@url_option
@json_option
def command(
    agent: str | None,
    since: int | None,
    before: int | None,
    limit: int,
    every: bool,
    output: Output,
    url: str | None,
) -> None:
    """List an agent's messages."""
    if before is not None and (every or since is not None):
        raise Usage("--before goes with neither --since nor --all", fix="choose one of them")
    if (every or since is not None) and _is_typed("limit"):
        raise Usage("--limit goes with neither --since nor --all", fix="choose one of them")
    first = 0 if every and since is None else since
    whose, inbox = finish(_look(agent, first, before, limit, url), output, "asking the hub")
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
        empty=f"no messages for {whose}",
    )
    if inbox.more:
        output.more(f"agent-relay inbox {whose} --before {inbox.messages[0].id}")


def _is_typed(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE


async def _look(
    named: str | None, since: int | None, before: int | None, limit: int, url: str | None
) -> tuple[str, Inbox]:
    async with open_hub(url) as hub:
        agent = named or await reading_agent(hub)
        if agent != OPERATOR:  # who is no agent, but gets answers
            await hub.agent(agent)
        if since is not None:
            return agent, Inbox(messages=await _every_one(hub, agent, since))
        found = await _newest(hub, agent, before, limit + 1)
        return agent, Inbox(messages=found[-limit:], more=len(found) > limit)


async def _newest(hub: HubClient, agent: str, before: int | None, most: int) -> tuple[Message, ...]:
    """Ask for page before page, until there are enough."""
    found: tuple[Message, ...] = ()
    while len(found) < most:
        wanted = min(most - len(found), INBOX_PAGE)
        page = await hub.newest(agent, before=before, most=wanted)
        found = (*page, *found)
        if len(page) < wanted:
            break
        before = page[0].id
    return found


async def _every_one(hub: HubClient, agent: str, since: int) -> tuple[Message, ...]:
    """Ask for page after page, until one is not full."""
    messages: list[Message] = []
    while page := await hub.inbox(agent, since=since):
        messages += page
        since = page[-1].id
        if len(page) < INBOX_PAGE:
            break
    return tuple(messages)
