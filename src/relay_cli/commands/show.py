"""`agent-relay show`."""

from __future__ import annotations

import time

import click

from relay_cli.connection import ask_host, open_hub
from relay_cli.options import json_option, message_number, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.view import NOTHING, ago, words
from relay_core.host_api import DecisionList, DecisionsRequest, HostStatus
from relay_core.hub_api import MessageView
from relay_core.messages import REQUEST, AgentId, Delivery, DeliveryState, MessageId, Struct
from relay_core.plans import Decision
from relay_core.receipts import told_together


class ExplainedMessage(MessageView):
    """What `show --why --json` prints."""

    decisions: tuple[Decision, ...] = ()


@click.command(
    "show",
    help="""Show a message and where its deliveries stand.

    With `--why` also every plugin's answer about it, and which one was chosen; the host that
    delivers it on this machine is asked for that.
    """,
)
@click.argument("message_id", metavar="ID", type=message_number)
@click.option("--why", is_flag=True, help="Show every plugin's answer, and the chosen one.")
@url_option
@json_option
def command(message_id: int, why: bool, output: Output, url: str | None) -> None:
    """Show one message."""
    view, answer = finish(_look(message_id, url, why=why), output, "asking the hub")
    if why:
        fields = {name: getattr(view, name) for name in view.__struct_fields__}
        output.show_object(ExplainedMessage(**fields, decisions=answer.decisions))
    else:
        output.show_object(view)
    if not output.as_json:
        _print_message(view, output)
        if why:
            _print_decisions(view, answer, output)


class _HostsAnswer(Struct):
    """What the host of this machine has decided; which agents it serves, where that is nothing."""

    decisions: tuple[Decision, ...] = ()
    served: frozenset[AgentId] = frozenset()


async def _look(message_id: int, url: str | None, *, why: bool) -> tuple[MessageView, _HostsAnswer]:
    async with open_hub(url) as hub:
        view = await hub.message(message_id)
    if not why:
        return view, _HostsAnswer()
    request = DecisionsRequest(message_id=MessageId(message_id))
    decisions = (await ask_host("decisions", request, DecisionList)).decisions
    if decisions:
        return view, _HostsAnswer(decisions=decisions)
    status = await ask_host("status", None, HostStatus)
    served = frozenset(session.agent_id for session in status.sessions)
    return view, _HostsAnswer(served=served)


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


def _print_decisions(view: MessageView, answer: _HostsAnswer, output: Output) -> None:
    output.line()
    output.table(
        ("", "HOOK", "PLUGIN", "ANSWER"),
        [
            ("*" if row.chosen else "", row.hook, row.plugin, bytes(row.answer).decode())
            for row in answer.decisions
        ],
        empty=_why_nothing(view, answer.served),
    )


def _why_nothing(view: MessageView, served: frozenset[AgentId]) -> str:
    """Say why the host has no decision to show."""
    if not view.deliveries:
        return "no decisions: there was no recipient to decide for"
    ours = [delivery for delivery in view.deliveries if delivery.agent_id in served]
    if not ours:
        names = words(delivery.agent_id for delivery in view.deliveries)
        return f"no decisions: the host on this machine does not serve {names}"
    if any(delivery.state is DeliveryState.QUEUED for delivery in ours):
        return "no decisions yet: it still waits for its turn"
    return (
        "no decisions left: the host keeps them in memory, and it has started since then, "
        "or newer messages took their place"
    )
