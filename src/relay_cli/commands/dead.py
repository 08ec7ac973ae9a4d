"""`agent-relay dead`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from relay_cli.connection import open_hub
from relay_cli.deciding import (
    ListByDefault,
    Refusal,
    agent_option,
    for_each,
    must_name,
    pages,
    tell_refused,
)
from relay_cli.options import (
    before_option,
    json_option,
    limit_option,
    message_number,
    url_option,
)
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, shortened
from relay_core.dead_letters import DeadLetter, DeadView
from relay_core.messages import Delivery, Struct

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHOWN_CHARACTERS = 50
MOST = 50


class DeadLetters(Struct):
    """What `dead list --json` prints; `more` says that older ones were left out."""

    dead: tuple[DeadLetter, ...]
    more: bool = False


class Retried(Struct):
    """What `dead retry --json` prints: the deliveries that take the dead ones' place."""

    retried: tuple[Delivery, ...]
    refused: tuple[Refusal, ...] = ()


class Dropped(Struct):
    """What `dead drop --json` prints."""

    dropped: tuple[DeadLetter, ...]
    refused: tuple[Refusal, ...] = ()


@click.group(
    "dead",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""List what could not be delivered; try it again, or drop it.

    A delivery is dead when it has failed too often, when its recipient was removed, or when the
    agent crashed twice right after getting it; its sender was told. It is kept for 30 days. Without
    a command below, the newest ones are listed. Every command takes `--json`.

    \b
    Examples:
      agent-relay dead
      agent-relay dead show 31
      agent-relay dead retry 31
      agent-relay dead drop --all --agent codex-web-a1b2c3d4e5f6
    """,
)
def command() -> None:
    """See to dead letters."""


@command.command("list", help="List dead letters, newest first.")
@agent_option("Only those for this agent.")
@before_option
@limit_option(MOST)
@url_option
@json_option
def list_(
    agent: str | None, before: int | None, limit: int, output: Output, url: str | None
) -> None:
    """List dead letters."""
    found = finish(_look(agent, before, limit + 1, url), output, "asking the hub")
    letters = DeadLetters(dead=found[:limit], more=len(found) > limit)
    output.show_object(letters)
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("DELIVERY", "MESSAGE", "FROM", "FOR", "REASON", "TEXT", "SINCE"),
        [_cells(letter, now_ms) for letter in letters.dead],
        empty="no dead letters",
    )
    if letters.more:
        narrowed = f" --agent {agent}" if agent else ""
        last = letters.dead[-1].delivery.id
        output.more(f"agent-relay dead list{narrowed} --before {last}")


def _cells(letter: DeadLetter, now_ms: int) -> tuple[str, ...]:
    delivery = letter.delivery
    return (
        str(delivery.id),
        str(delivery.message_id),
        letter.from_,
        delivery.agent_id,
        delivery.reason or NOTHING,
        shortened(letter.subject or letter.excerpt, SHOWN_CHARACTERS),
        ago(delivery.updated_ms, now_ms),
    )


async def _look(
    agent: str | None, before: int | None, most: int, url: str | None
) -> tuple[DeadLetter, ...]:
    async with open_hub(url) as hub:
        return await _newest(hub, agent, before, most)


async def _newest(
    hub: HubClient, agent: str | None, before: int | None = None, most: int | None = None
) -> tuple[DeadLetter, ...]:
    if agent is not None:
        await hub.agent(agent)
    return await pages(
        lambda last: hub.dead(agent, before=last),
        lambda letter: letter.delivery.id,
        before=before,
        most=most,
    )


@command.command(
    "show",
    help="""Show a dead letter: the message, every try, and every step it took.

    DELIVERY is the number in the first column of `agent-relay dead`.
    """,
)
@click.argument("delivery_id", metavar="DELIVERY", type=message_number)
@url_option
@json_option
def show(delivery_id: int, output: Output, url: str | None) -> None:
    """Show a dead letter."""
    view = finish(_one(delivery_id, url), output, "asking the hub")
    output.show_object(view)
    if not output.as_json:
        _print(view, output)


async def _one(delivery_id: int, url: str | None) -> DeadView:
    async with open_hub(url) as hub:
        return await hub.dead_letter(delivery_id)


def _print(view: DeadView, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    delivery = view.delivery
    retried = None if delivery.retried_as is None else f"as delivery {delivery.retried_as}"
    rows = [
        ("delivery", str(delivery.id)),
        ("message", str(delivery.message_id)),
        ("from", view.message.from_),
        ("for", delivery.agent_id),
        ("reason", delivery.reason or NOTHING),
        ("dead", ago(delivery.updated_ms, now_ms)),
        ("subject", view.message.subject),
        ("retried", retried),
        ("dropped", None if view.dropped_ms is None else ago(view.dropped_ms, now_ms)),
    ]
    output.fields([(name, value) for name, value in rows if value is not None])
    output.line()
    output.block("\n".join(f"  {line}".rstrip() for line in view.message.body.split("\n")))
    output.line()
    output.table(
        ("TRY", "THREAD", "STARTED", "OUTCOME", "TURN"),
        [
            (
                attempt.id,
                attempt.thread_id,
                ago(attempt.started_ms, now_ms),
                attempt.outcome or "in doubt",
                attempt.turn_id or NOTHING,
            )
            for attempt in view.attempts
        ],
        empty="it was never tried",
    )
    output.line()
    output.table(
        ("WHEN", "EVENT", "FROM", "TO", "REASON"),
        [
            (
                ago(step.at_ms, now_ms),
                step.event,
                str(step.before),
                str(step.after),
                step.reason or NOTHING,
            )
            for step in view.transitions
        ],
        empty="no steps are known",
    )


@command.command(
    "retry",
    help="""Try dead letters again: each becomes a new delivery with all its tries.

    The message is not sent twice: the new delivery takes the dead one's place. One that cannot be
    tried again, because its recipient is gone, keeps no other from it; then it ends with 1.
    """,
)
@click.argument("delivery_ids", metavar="[DELIVERY]...", nargs=-1, type=message_number)
@click.option("--all", "every", is_flag=True, help="Every one that `dead list` lists.")
@agent_option("With --all: only those for this agent.")
@url_option
@json_option
def retry(
    delivery_ids: tuple[int, ...],
    every: bool,
    agent: str | None,
    output: Output,
    url: str | None,
) -> None:
    """Try dead letters again."""
    must_name(delivery_ids, agent, every=every)
    work = for_each(
        delivery_ids,
        lambda hub: _numbers(hub, agent),
        url,
        lambda hub, number: hub.retry_dead(number),
    )
    retried, refused = finish(work, output, "asking the hub")
    output.show_object(Retried(retried=retried, refused=refused))
    output.table(
        ("DELIVERY", "MESSAGE", "FOR", "STATE"),
        [(str(one.id), str(one.message_id), one.agent_id, str(one.state)) for one in retried],
        empty="nothing was tried again" if refused else "no dead letters",
    )
    tell_refused(refused, output)


@command.command("drop", help="List dead letters no more. Doing it twice is harmless.")
@click.argument("delivery_ids", metavar="[DELIVERY]...", nargs=-1, type=message_number)
@click.option("--all", "every", is_flag=True, help="Every one that `dead list` lists.")
@agent_option("With --all: only those for this agent.")
@url_option
@json_option
def drop(
    delivery_ids: tuple[int, ...],
    every: bool,
    agent: str | None,
    output: Output,
    url: str | None,
) -> None:
    """Drop dead letters."""
    must_name(delivery_ids, agent, every=every)
    work = for_each(
        delivery_ids,
        lambda hub: _numbers(hub, agent),
        url,
        lambda hub, number: hub.drop_dead(number),
    )
    dropped, refused = finish(work, output, "asking the hub")
    output.show_object(Dropped(dropped=dropped, refused=refused))
    output.line(f"dropped {len(dropped)}")
    tell_refused(refused, output)


async def _numbers(hub: HubClient, agent: str | None) -> tuple[int, ...]:
    return tuple(letter.delivery.id for letter in await _newest(hub, agent))
