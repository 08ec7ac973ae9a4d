"""`agent-relay send`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import click
import msgspec

from relay_cli.caller import THREAD_VARIABLE, sending_agent
from relay_cli.completion import agent_ids, targets
from relay_cli.connection import open_hub
from relay_cli.options import identifier, json_option, message_number, seconds, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Failed, TimedOut, Usage
from relay_cli.typed_text import AS_A_FILE, read_text
from relay_core.delivery import CLAIMED_BY_OTHER
from relay_core.errors import HubRefused, HubUnreachable
from relay_core.hub_api import MessageView, SendRequest, SendResponse, SentDelivery
from relay_core.messages import ACK, AgentId, Delivery, DeliveryState, MessageId

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

CUT_OFF_BYTES = 1024 * 1024
"""From here on a hub may close the connection on a request, instead of reading and refusing it."""

TOO_LARGE = "request_too_large"
REFUSED_FOR_SIZE = 413
ESCAPED_MUCH = 1.1
"""How many times its own size a body takes as JSON, from where on that is worth a word."""

FIRST_LOOK_S = 0.02
SLOWEST_LOOK_S = 0.5

_ENDED_OTHERWISE = frozenset(
    {DeliveryState.SKIPPED, DeliveryState.EXPIRED, DeliveryState.CANCELLED, DeliveryState.DEAD}
)


@click.command(
    "send",
    help="""Send a message to agents.

    TARGET is an agent's id, `tag:x`, `cap:x`, `label:x` or `broadcast`; a bare word is tried as id,
    label, then tag. BODY is the message; `-` reads it from standard input. Write `--` before a body
    that starts with `-`.

    Ends with 0 when the message is stored safely at the hub; with `--wait` only when every
    recipient has it in its session, and with 5 when that took longer.

    In the shell of a Codex session the message is from that session's agent, and the answer says
    so; `--from` names another one.

    \b
    Examples:
      agent-relay send codex-web-a1b2c3d4e5f6 "Please run the tests again."
      agent-relay send tag:backend "Who knows the import job?" --subject "a question"
      git diff | agent-relay send reviewer - --wait 30
      agent-relay send cap:review "Review #12" --claimable
    """,
)
@click.argument("target", shell_complete=targets)
@click.argument("body")
@click.option(
    "--from",
    "--as",
    "sender",
    type=identifier,
    metavar="AGENT",
    shell_complete=agent_ids,
    help=f"Send as this agent. Default: the session that this shell is in ({THREAD_VARIABLE}), "
    "else operator.",
)
@click.option("--subject", metavar="TEXT", help="One line that says what it is about.")
@click.option("--channel", metavar="NAME", help="Only recipients that subscribe to it get it.")
@click.option("--reply-to", type=message_number, metavar="ID", help="The message it answers.")
@click.option("--claimable", is_flag=True, help="Work for one: the first recipient to claim it.")
@click.option("--urgent", is_flag=True, help="Ask to interrupt, where the recipient allows it.")
@click.option("--ack", is_flag=True, help="Only confirm: it starts no turn, and answers nothing.")
@click.option("--wait", type=seconds, metavar="seconds", help="Wait until it is delivered.")
@url_option
@json_option
def command(
    target: str,
    body: str,
    sender: str | None,
    subject: str | None,
    channel: str | None,
    reply_to: int | None,
    claimable: bool,
    urgent: bool,
    ack: bool,
    wait: float | None,
    output: Output,
    url: str | None,
) -> None:
    """Send a message."""
    if not target.strip():
        raise Usage("TARGET is empty", fix="list the agents with `agent-relay agents`")
    request = SendRequest(
        to=target,
        body=read_text(body, "give it as the second argument, or `-` for stdin"),
        from_=None if sender is None else AgentId(sender),
        subject=subject,
        channel=channel,
        reply_to=None if reply_to is None else MessageId(reply_to),
        claimable=claimable,
        urgent=urgent,
        type=ACK if ack else None,
    )
    finish(
        _send(request, wait, output, url),
        output,
        "sending" if wait is None else "waiting for it to arrive",
    )


async def _send(
    request: SendRequest, wait_s: float | None, output: Output, url: str | None
) -> None:
    own = request.from_ is None
    async with open_hub(url) as hub:
        sender = await sending_agent(hub, request.from_)
        request = msgspec.structs.replace(request, from_=sender)
        sent = await stored(hub, request)
        if wait_s is not None:
            sent = await _wait_until_delivered(hub, sent, wait_s)
    output.show_object(sent)
    output.line(f"message {sent.id}{f', sent as {sender}' if own and sender else ''}")
    output.table(
        ("DELIVERY", "AGENT", "STATE"),
        [
            (str(delivery.id), delivery.agent_id, f"{delivery.state}{_away(delivery)}")
            for delivery in sent.deliveries
        ],
        empty="no recipient",
    )
    output.line(f"follow it with `agent-relay show {sent.id}`")


async def stored(hub: HubClient, request: SendRequest) -> SendResponse:
    """Have the hub store the message; say in a sender's words when it is too large."""
    try:
        return await hub.send(request)
    except HubRefused as error:
        if error.code != TOO_LARGE:
            raise
        raise _too_large(request, error.status, error.detail) from error
    except HubUnreachable as error:
        if len(request.body) < CUT_OFF_BYTES:
            raise
        await hub.authenticate()  # where the hub is still there, the size was what it closed on
        raise _too_large(
            request, REFUSED_FOR_SIZE, "the hub takes no request of that size"
        ) from error


def _too_large(request: SendRequest, status: int, why: str) -> HubRefused:
    body_bytes, json_bytes = len(request.body.encode()), len(msgspec.json.encode(request))
    size = f"{body_bytes} bytes"
    if json_bytes > body_bytes * ESCAPED_MUCH:
        size += f", as JSON {json_bytes} (newlines, quotes and backslashes take two)"
    return HubRefused(status, TOO_LARGE, f"the message has {size}: {why}", fix=AS_A_FILE)


def _away(delivery: SentDelivery) -> str:
    return " (away: it waits at the hub)" if delivery.away else ""


async def _wait_until_delivered(hub: HubClient, sent: SendResponse, wait_s: float) -> SendResponse:
    """Look at the message until every recipient has it; Failed when one never will, or TimedOut."""
    deadline = time.monotonic() + wait_s
    pause = FIRST_LOOK_S
    while True:
        view = await hub.message(sent.id)
        open_ones = [delivery for delivery in view.deliveries if _is_open(delivery)]
        if not open_ones:
            _refuse_undelivered(view)
            return _with_states(sent, view)
        if time.monotonic() >= deadline:
            where = ", ".join(f"{one.agent_id} {one.state}" for one in open_ones)
            detail = f"message {sent.id} is stored, but not delivered after {wait_s:g} s: {where}"
            raise TimedOut(detail, fix=f"agent-relay show {sent.id} --why")
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 2, SLOWEST_LOOK_S)


def _is_open(delivery: Delivery) -> bool:
    return delivery.state is not DeliveryState.DELIVERED and delivery.state not in _ENDED_OTHERWISE


def _refuse_undelivered(view: MessageView) -> None:
    delivered = any(one.state is DeliveryState.DELIVERED for one in view.deliveries)
    missed = [
        one
        for one in view.deliveries
        if one.state in _ENDED_OTHERWISE and not (delivered and one.reason == CLAIMED_BY_OTHER)
    ]
    if missed:
        where = ", ".join(f"{one.agent_id} {one.state} ({one.reason})" for one in missed)
        detail = f"message {view.id} will not be delivered: {where}"
        raise Failed(detail, fix=f"agent-relay show {view.id} --why")


def _with_states(sent: SendResponse, view: MessageView) -> SendResponse:
    states = {delivery.id: delivery.state for delivery in view.deliveries}
    deliveries = tuple(
        SentDelivery(
            id=delivery.id,
            agent_id=delivery.agent_id,
            state=states.get(delivery.id, delivery.state),
            away=delivery.away,
        )
        for delivery in sent.deliveries
    )
    return SendResponse(id=sent.id, deliveries=deliveries)
