"""`agent-relay show`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import look_around, open_hub
from relay_cli.explaining import Told, ToldBy, ToldDecision, what_was_decided
from relay_cli.options import json_option, message_number, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, words
from relay_core.control import HostUnreachable
from relay_core.errors import HubUnreachable
from relay_core.hub_api import MessageView
from relay_core.messages import REQUEST, AgentId, Delivery, DeliveryState, MessageId, Struct
from relay_core.receipts import told_together


class ExplainedMessage(MessageView):
    """What `show --why --json` prints."""

    decisions: tuple[ToldDecision, ...] = ()
    told_by: ToldBy | None = None


class ExplainedNumber(Struct):
    """What it prints where the hub does not answer, but the record does."""

    id: MessageId
    decisions: tuple[ToldDecision, ...]
    told_by: ToldBy | None


@click.command(
    "show",
    help="""Show a message and where its deliveries stand.

    With `--why` also every plugin's answer about it, and which one was chosen. The host that
    delivers it on this machine is asked for that; where none runs, or it has forgotten, the answers
    come from its record, and then the hub need not run either. `agent-relay why` asks again.
    """,
)
@click.argument("message_id", metavar="ID", type=message_number)
@click.option("--why", is_flag=True, help="Show every plugin's answer, and the chosen one.")
@url_option
@json_option
def command(message_id: int, why: bool, output: Output, url: str | None) -> None:
    """Show one message."""
    number = MessageId(message_id)
    view, told = finish(_look(number, url, why=why), output, "asking the hub")
    if view is None:
        explained = ExplainedNumber(id=number, decisions=told.decisions, told_by=told.by)
        output.show_object(explained)
        output.remark(f"the hub does not answer: only what is on record of message {number}")
    elif why:
        fields = {name: getattr(view, name) for name in view.__struct_fields__}
        output.show_object(ExplainedMessage(**fields, decisions=told.decisions, told_by=told.by))
    else:
        output.show_object(view)
    if output.as_json:
        return
    if view is not None:
        _print_message(view, output)
    if why:
        if view is not None:
            output.line()
        _print_decisions(view, told, output)


async def _look(
    number: MessageId, url: str | None, *, why: bool
) -> tuple[MessageView | None, Told]:
    """Ask the hub for the message and the host for its decisions; None where no hub answers, but
    the record does."""
    try:
        async with open_hub(url) as hub:
            view = await hub.message(number)
    except HubUnreachable as unreachable:
        if why:
            try:
                return None, await what_was_decided(look_around(), number, None)
            except HostUnreachable:
                raise unreachable from None
        raise
    if not why:
        return view, Told()
    return view, await what_was_decided(look_around(), number, view.created_at)


def _print_message(view: MessageView, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    marks = {"urgent": view.urgent, "claimable": view.claimable}
    rows = [
        ("message", str(view.id)),
        ("from", view.from_),
        ("to", view.to),
        ("sent", ago(view.created_at, now_ms)),
    ]
    optional = (
        ("subject", view.subject),
        ("channel", view.channel),
        ("answers", None if view.reply_to is None else str(view.reply_to)),
        ("marked", ", ".join(name for name, is_set in marks.items() if is_set) or None),
        ("claimed by", view.claimed_by),
    )
    output.fields([*rows, *((name, value) for name, value in optional if value is not None)])
    output.line()
    output.block("\n".join(f"  {line}" for line in view.body.split("\n")))
    output.line()
    asked = view.type == REQUEST
    columns = ("DELIVERY", "AGENT", "STATE", "REASON", "RETRIES", "TOOK", "TURN", "TURN ENDED")
    output.table(
        (*columns, "ANSWER") if asked else columns,
        [
            (*_delivery_cells(delivery), _answer_cell(delivery))
            if asked
            else _delivery_cells(delivery)
            for delivery in view.deliveries
        ],
        empty="no recipient",
    )
    if view.deliveries:
        output.line()
    for told in told_together(view):
        output.line(told)


def _answer_cell(delivery: Delivery) -> str:
    answer = delivery.answer
    if answer is None:
        return NOTHING
    if answer.reply_id is not None:
        return f"message {answer.reply_id}"
    return f"{answer.state} ({answer.reason})" if answer.reason else str(answer.state)


def _delivery_cells(delivery: Delivery) -> tuple[str, ...]:
    took = NOTHING
    if delivery.delivered_ms is not None:
        took = f"{delivery.delivered_ms - delivery.created_ms} ms"
    return (
        str(delivery.id),
        delivery.agent_id,
        f"{delivery.state} (edited)" if delivery.edited else str(delivery.state),
        delivery.reason or NOTHING,
        str(delivery.attempts),
        took,
        delivery.turn_id or NOTHING,
        str(delivery.turn_status or NOTHING),
    )


def _print_decisions(view: MessageView | None, told: Told, output: Output) -> None:
    agents = {row.agent_id for row in told.decisions}
    named = ("AGENT",) if len(agents) > 1 else ()
    output.table(
        ("", *named, "HOOK", "PLUGIN", "ANSWER"),
        [
            (
                "*" if row.chosen else "",
                *(row.agent_id or NOTHING for _ in named),
                row.hook,
                row.plugin,
                bytes(row.answer).decode(),
            )
            for row in told.decisions
        ],
        empty=_why_nothing(view, told.served or frozenset()),
    )
    if told.by is not None and told.by.at_ms is not None:
        now_ms = time.time_ns() // 1_000_000
        output.line(f"recorded {ago(told.by.at_ms, now_ms)} by host {told.by.version}")
        if told.by.damaged:
            output.remark(f"damaged lines of the record that were skipped: {told.by.damaged}")


def _why_nothing(view: MessageView | None, served: frozenset[AgentId]) -> str:
    """Say why the host has no decision to show."""
    if view is None:
        return "no decisions: neither the host nor its record knows of it"
    if not view.deliveries:
        return "no decisions: there was no recipient to decide for"
    ours = [delivery for delivery in view.deliveries if delivery.agent_id in served]
    if not ours:
        names = words(delivery.agent_id for delivery in view.deliveries)
        return f"no decisions: the host on this machine does not serve {names}"
    if any(delivery.state is DeliveryState.QUEUED for delivery in ours):
        return "no decisions yet: it still waits for its turn"
    return (
        "no decisions left: the host has started since then, and in its record newer ones have "
        "taken their place"
    )
