"""`agent-relay tail`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from relay_cli.completion import readers
from relay_cli.connection import open_hub
from relay_cli.options import identifier, json_option, url_option
from relay_cli.output import Output
from relay_cli.problems import ExitCode
from relay_cli.tailing import Event, EventKind, Fact, Tail
from relay_cli.view import shortened
from relay_core.messages import OPERATOR, AgentId, Delivery
from relay_core.receipts import answer_words, work_words

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHOWN_CHARACTERS = 60
MOST_COUNTED = 1_000_000


@click.command(
    "tail",
    help="""Show messages and what becomes of them, as it happens.

    A line for each message that comes in for an agent, and one for each step that matters: it is
    delivered, held, skipped, given up, the turn that carried it has ended, its work was taken or
    ended, it was answered. Runs until Ctrl-C. When the hub goes away, it waits for it to come back
    and then shows what it has missed.

    With `--json` each line is one object: `event` is `connected`, `disconnected`, `mail` or
    `receipt`; the latter two hold the `message` and its `delivery`, and the `fact` of a receipt is
    `delivery`, `turn`, `work` or `answer`.

    \b
    Examples:
      agent-relay tail
      agent-relay tail --agent codex-web-a1b2c3d4e5f6
      agent-relay tail --json | jq -r 'select(.event == "mail") | .message.body'
    """,
)
@click.option(
    "--agent",
    "agents",
    multiple=True,
    type=identifier,
    metavar="AGENT",
    shell_complete=readers,
    help="Only what this agent sends or gets; may be given several times.",
)
@click.option(
    "--count",
    type=click.IntRange(1, MOST_COUNTED),
    metavar="N",
    help="End after so many messages and steps.",
)
@url_option
@json_option
def command(agents: tuple[str, ...], count: int | None, output: Output, url: str | None) -> None:
    """Show what happens."""
    try:
        asyncio.run(_follow(agents, count, output, url))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None


async def _follow(
    agents: tuple[str, ...], count: int | None, output: Output, url: str | None
) -> None:
    async with open_hub(url) as hub:
        wanted = await _checked(hub, agents)
        counted = 0
        async with aclosing(Tail(hub, wanted).events()) as events:
            async for event in events:
                output.show_object(event)
                _print(event, hub.url, output)
                output.flush()
                counted += event.event in {EventKind.MAIL, EventKind.RECEIPT}
                if counted == count:
                    return


async def _checked(hub: HubClient, agents: Iterable[str]) -> tuple[AgentId, ...] | None:
    wanted = tuple(AgentId(agent) for agent in agents)
    for agent in wanted:
        if agent != OPERATOR:
            await hub.agent(agent)
    return wanted or None


def _print(event: Event, url: str, output: Output) -> None:
    if output.as_json:
        return
    match event.event:
        case EventKind.CONNECTED:
            missed = f"; {event.missed} messages before were missed" if event.missed else ""
            output.remark(f"connected to {url}{missed}")
        case EventKind.DISCONNECTED:
            output.remark(f"the hub at {url} is gone; waiting for it")
        case EventKind.MAIL | EventKind.RECEIPT:
            at = time.strftime("%H:%M:%S", time.localtime(event.at_ms / 1000))
            output.line(f"{at}  {line_of(event)}")


def line_of(event: Event) -> str:
    """Tell an event on one line, without its time."""
    message, delivery = event.message, event.delivery
    if message is None or delivery is None:
        return event.event
    way = f"{message.id}  {message.from_} to {delivery.agent_id}"
    if event.event is EventKind.MAIL:
        return f"{way}: {shortened(message.subject or message.body, SHOWN_CHARACTERS)}"
    return f"{way}  {_told(event, delivery)}"


def _told(event: Event, delivery: Delivery) -> str:
    if event.fact is Fact.TURN:
        return f"turn {delivery.turn_status}"
    if event.fact is Fact.WORK and event.claim is not None:
        return work_words(event.claim)
    if event.fact is Fact.ANSWER and delivery.answer is not None:
        return answer_words(delivery.answer)
    return f"{delivery.state} ({delivery.reason})" if delivery.reason else str(delivery.state)
