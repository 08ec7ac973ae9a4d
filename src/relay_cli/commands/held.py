"""`agent-relay held`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from relay_cli.caller import must_be_a_persons_shell
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
from relay_cli.typed_text import read_text
from relay_cli.view import NOTHING, ago, ahead, shortened
from relay_core.held_mail import HeldDelivery, HeldView
from relay_core.messages import NEEDS_YES, Delivery, DeliveryId, Struct

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHOWN_CHARACTERS = 50
MOST = 50


class HeldMail(Struct):
    """What `held list --json` prints; `more` says that older ones were left out."""

    held: tuple[HeldDelivery, ...]
    more: bool = False
    needs_yes: int = 0


class Approved(Struct):
    """What `held approve --json` prints."""

    approved: tuple[Delivery, ...]
    refused: tuple[Refusal, ...] = ()


class Dropped(Struct):
    """What `held drop --json` prints."""

    dropped: tuple[Delivery, ...]
    refused: tuple[Refusal, ...] = ()


@click.group(
    "held",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""List what is held back; let it through, edit it, or drop it.

    Mail with the reason `needs_yes` waits for you, because its sender is in `hold_from` of
    config.toml. What is held for another reason comes by itself at the time that is shown; a yes
    lets it through now. A yes is final: nothing holds that delivery again. All of this needs the
    user's token, and a shell that is no session's. Without a command below, the newest ones are
    listed. Every command takes `--json`.

    \b
    Examples:
      agent-relay held
      agent-relay held show 31
      agent-relay held approve 31
      agent-relay held edit 31 "Look at the log, change nothing." --approve
      agent-relay held drop 31 --reason off_topic
    """,
)
def command() -> None:
    """See to held mail."""


@command.command("list", help="List what is held, newest first.")
@agent_option("Only what is for this agent.")
@before_option
@limit_option(MOST)
@url_option
@json_option
def list_(
    agent: str | None, before: int | None, limit: int, output: Output, url: str | None
) -> None:
    """List held mail."""
    must_be_a_persons_shell()
    found = finish(_look(agent, before, limit, url), output, "asking the hub")
    output.show_object(found)
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("DELIVERY", "FROM", "FOR", "REASON", "TEXT", "SINCE", "UNTIL"),
        [_cells(each, now_ms) for each in found.held],
        empty="nothing is held",
    )
    if found.more:
        narrowed = f" --agent {agent}" if agent else ""
        output.more(f"agent-relay held list{narrowed} --before {found.held[-1].delivery.id}")


def _cells(held: HeldDelivery, now_ms: int) -> tuple[str, ...]:
    delivery = held.delivery
    return (
        str(delivery.id),
        held.from_,
        delivery.agent_id,
        _reason(delivery),
        shortened(held.subject or held.excerpt, SHOWN_CHARACTERS),
        ago(delivery.created_ms, now_ms),
        _until(delivery, now_ms),
    )


def _reason(delivery: Delivery) -> str:
    reason = delivery.reason or NOTHING
    return f"{reason} (edited)" if delivery.edited else reason


def _until(delivery: Delivery, now_ms: int) -> str:
    if delivery.held_until_ms is None:
        return "released"
    return ahead(delivery.held_until_ms, now_ms)


async def _look(agent: str | None, before: int | None, limit: int, url: str | None) -> HeldMail:
    async with open_hub(url) as hub:
        found = await _newest(hub, agent, before, limit + 1)
        needs_yes = (await hub.held(most=0)).needs_yes
    return HeldMail(held=found[:limit], more=len(found) > limit, needs_yes=needs_yes)


async def _newest(
    hub: HubClient, agent: str | None, before: int | None = None, most: int | None = None
) -> tuple[HeldDelivery, ...]:
    if agent is not None:
        await hub.agent(agent)

    async def page(last: DeliveryId | None) -> tuple[HeldDelivery, ...]:
        return (await hub.held(agent, before=last)).held

    return await pages(page, lambda held: held.delivery.id, before=before, most=most)


@command.command(
    "show",
    help="""Show a held delivery: the message, and the text that its recipient would get.

    DELIVERY is the number in the first column of `agent-relay held`.
    """,
)
@click.argument("delivery_id", metavar="DELIVERY", type=message_number)
@url_option
@json_option
def show(delivery_id: int, output: Output, url: str | None) -> None:
    """Show a held delivery."""
    must_be_a_persons_shell()
    view = finish(_one(delivery_id, url), output, "asking the hub")
    output.show_object(view)
    if not output.as_json:
        _print(view, output)


async def _one(delivery_id: int, url: str | None) -> HeldView:
    async with open_hub(url) as hub:
        return await hub.held_delivery(delivery_id)


def _print(view: HeldView, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    delivery, message = view.delivery, view.message
    rows = [
        ("delivery", str(delivery.id)),
        ("message", str(message.id)),
        ("from", message.from_),
        ("for", delivery.agent_id),
        ("reason", delivery.reason or NOTHING),
        ("since", ago(delivery.created_ms, now_ms)),
        ("until", _until(delivery, now_ms)),
        ("subject", message.subject),
    ]
    output.fields([(name, value) for name, value in rows if value is not None])
    output.line()
    output.block(_indented(message.body))
    if view.edited_body is not None:
        output.line()
        output.line(f"edited: {delivery.agent_id} gets this instead")
        output.line()
        output.block(_indented(view.edited_body))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


@command.command(
    "approve",
    help="""Say yes: let held deliveries through, for good.

    With `--all`, everything that is held with the reason `needs_yes`. One about which somebody has
    decided already keeps no other from it; then it ends with 1.
    """,
)
@click.argument("delivery_ids", metavar="[DELIVERY]...", nargs=-1, type=message_number)
@click.option("--all", "every", is_flag=True, help="Everything that waits for a yes.")
@agent_option("With --all: only what is for this agent.")
@url_option
@json_option
def approve(
    delivery_ids: tuple[int, ...],
    every: bool,
    agent: str | None,
    output: Output,
    url: str | None,
) -> None:
    """Approve held deliveries."""
    must_be_a_persons_shell()
    must_name(delivery_ids, agent, every=every)
    work = for_each(
        delivery_ids,
        lambda hub: _for_a_yes(hub, agent),
        url,
        lambda hub, number: hub.approve_held(number),
    )
    approved, refused = finish(work, output, "asking the hub")
    output.show_object(Approved(approved=approved, refused=refused))
    output.table(
        ("DELIVERY", "MESSAGE", "FOR", "STATE"),
        [(str(one.id), str(one.message_id), one.agent_id, str(one.state)) for one in approved],
        empty="nothing was approved" if refused else "nothing waits for a yes",
    )
    tell_refused(refused, output)


async def _for_a_yes(hub: HubClient, agent: str | None) -> tuple[int, ...]:
    """The numbers of what waits for a yes, oldest first: so it arrives as it was sent."""
    found = await _newest(hub, agent)
    return tuple(held.delivery.id for held in reversed(found) if held.delivery.reason == NEEDS_YES)


@command.command(
    "edit",
    help="""Give the recipient another text than the sender wrote.

    The sender goes on reading its own text, and sees that it was edited; the recipient sees who
    edited it. TEXT of `-` is read from standard input. The delivery still waits for
    `agent-relay held approve`; `--approve` does both.
    """,
)
@click.argument("delivery_id", metavar="DELIVERY", type=message_number)
@click.argument("text", metavar="(TEXT | -)")
@click.option("--approve", "approves", is_flag=True, help="Let it through as well.")
@url_option
@json_option
def edit(delivery_id: int, text: str, approves: bool, output: Output, url: str | None) -> None:
    """Edit a held delivery."""
    must_be_a_persons_shell()
    body = read_text(text, f'agent-relay held edit {delivery_id} "TEXT"')
    view = finish(_edit(delivery_id, body, url, approves=approves), output, "asking the hub")
    output.show_object(view)
    then = f"let it through with `agent-relay held approve {delivery_id}`"
    output.line(f"edited; {'on its way' if approves else then}")


async def _edit(delivery_id: int, body: str, url: str | None, *, approves: bool) -> HeldView:
    async with open_hub(url) as hub:
        view = await hub.edit_held(delivery_id, body)
        if not approves:
            return view
        return replace(view, delivery=await hub.approve_held(delivery_id))


@command.command(
    "drop",
    help="""Say no: held deliveries are skipped and never arrive. Their senders see the reason.""",
)
@click.argument("delivery_ids", metavar="DELIVERY...", nargs=-1, type=message_number, required=True)
@click.option(
    "--reason",
    metavar="WORD",
    default="dropped",
    show_default=True,
    help="What the senders see: one word of a-z, 0-9 and _.",
)
@url_option
@json_option
def drop(delivery_ids: tuple[int, ...], reason: str, output: Output, url: str | None) -> None:
    """Drop held deliveries."""
    must_be_a_persons_shell()
    work = for_each(
        delivery_ids, _nothing_else, url, lambda hub, number: hub.drop_held(number, reason)
    )
    dropped, refused = finish(work, output, "asking the hub")
    output.show_object(Dropped(dropped=dropped, refused=refused))
    output.line(f"dropped {len(dropped)}")
    tell_refused(refused, output)


async def _nothing_else(hub: HubClient) -> tuple[int, ...]:
    del hub
    return ()
