"""`agent-relay dead`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay_cli.completion import agent_ids
from relay_cli.connection import open_hub
from relay_cli.options import (
    before_option,
    identifier,
    json_option,
    limit_option,
    message_number,
    url_option,
)
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import ExitCode, Usage
from relay_cli.view import NOTHING, ago, shortened
from relay_core.dead_letters import DeadLetter, DeadView
from relay_core.errors import HubRefused
from relay_core.messages import Delivery, DeliveryId, Struct

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SHOWN_CHARACTERS = 50
MOST = 50


class DeadLetters(Struct):
    """What `dead list --json` prints; `more` says that older ones were left out."""

    dead: tuple[DeadLetter, ...]
    more: bool = False


class Refusal(Struct):
    """A dead letter about which nothing was done, and the hub's word why."""

    delivery_id: int
    code: str
    detail: str


class Retried(Struct):
    """What `dead retry --json` prints: the deliveries that take the dead ones' place."""

    retried: tuple[Delivery, ...]
    refused: tuple[Refusal, ...] = ()


class Dropped(Struct):
    """What `dead drop --json` prints."""

    dropped: tuple[DeadLetter, ...]
    refused: tuple[Refusal, ...] = ()


def agent_option(help_text: str) -> Callable[[F], F]:
    """Add `--agent`."""
    return click.option(
        "--agent", type=identifier, metavar="AGENT", shell_complete=agent_ids, help=help_text
    )


class ListByDefault(click.Group):
    """A group that lists where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] == "--help" or not args[0].startswith("-"))
        if not named and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)


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
    hub: HubClient, agent: str | None, before: int | None, most: int | None
) -> tuple[DeadLetter, ...]:
    """Ask for page after page, until there are enough or no more."""
    found: tuple[DeadLetter, ...] = ()
    if agent is not None:
        await hub.agent(agent)
    while most is None or len(found) < most:
        page = await hub.dead(agent, before=None if before is None else DeliveryId(before))
        if not page:
            break
        found += page
        before = page[-1].delivery.id
    return found[:most]


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
    _must_name(delivery_ids, agent, every=every)
    work = _for_each(delivery_ids, agent, url, lambda hub, number: hub.retry_dead(number))
    retried, refused = finish(work, output, "asking the hub")
    output.show_object(Retried(retried=retried, refused=refused))
    output.table(
        ("DELIVERY", "MESSAGE", "FOR", "STATE"),
        [(str(one.id), str(one.message_id), one.agent_id, str(one.state)) for one in retried],
        empty="nothing was tried again" if refused else "no dead letters",
    )
    _tell(refused, output)


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
    _must_name(delivery_ids, agent, every=every)
    work = _for_each(delivery_ids, agent, url, lambda hub, number: hub.drop_dead(number))
    dropped, refused = finish(work, output, "asking the hub")
    output.show_object(Dropped(dropped=dropped, refused=refused))
    output.line(f"dropped {len(dropped)}")
    _tell(refused, output)


def _must_name(delivery_ids: tuple[int, ...], agent: str | None, *, every: bool) -> None:
    if every == bool(delivery_ids):
        raise Usage("say which ones", fix="name each DELIVERY, or use --all")
    if agent is not None and not every:
        raise Usage("--agent goes with --all only", fix="leave one of them out")


async def _for_each(
    delivery_ids: tuple[int, ...],
    agent: str | None,
    url: str | None,
    work: Callable[[HubClient, int], Awaitable[T]],
) -> tuple[tuple[T, ...], tuple[Refusal, ...]]:
    """Do something about each that is named, or that is listed; one that is refused stops none."""
    done: list[T] = []
    refused: list[Refusal] = []
    async with open_hub(url) as hub:
        for number in delivery_ids or await _numbers(hub, agent):
            try:
                done.append(await work(hub, number))
            except HubRefused as error:
                if len(delivery_ids) == 1:
                    raise
                refused.append(Refusal(delivery_id=number, code=error.code, detail=error.detail))
    return tuple(done), tuple(refused)


async def _numbers(hub: HubClient, agent: str | None) -> tuple[int, ...]:
    return tuple(letter.delivery.id for letter in await _newest(hub, agent, None, None))


def _tell(refused: tuple[Refusal, ...], output: Output) -> None:
    """Name what was refused, and end with 1 where there is any."""
    for one in refused:
        output.remark(f"delivery {one.delivery_id}: {one.detail}")
    if refused:
        raise click.exceptions.Exit(ExitCode.FAILED)
