"""`agent-relay cancel`."""

from __future__ import annotations

import click

from relay_cli.connection import open_hub
from relay_cli.options import json_option, message_number, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import ExitCode, Failed
from relay_cli.view import NOTHING
from relay_core.hub_api import Cancellation, CancelledDelivery
from relay_core.messages import DeliveryState

ON_ITS_WAY = "on_its_way"


@click.command(
    "cancel",
    help="""Take a message back that has not arrived yet.

    MESSAGE is its number. Where it waits, is held or is to be tried again, it will not be
    delivered. A recipient that has it already keeps it, and one that it is on its way to may get
    it.

    Ends with 0 when no recipient has it or may still get it, else with 1. Doing it twice is
    harmless.

    \b
    Examples:
      agent-relay cancel 12
      agent-relay cancel 12 --json
    """,
)
@click.argument("message_id", metavar="MESSAGE", type=message_number)
@url_option
@json_option
def command(message_id: int, output: Output, url: str | None) -> None:
    """Cancel a message."""
    done = finish(_cancel(message_id, url), output, "asking the hub")
    late = [one for one in done.deliveries if is_too_late(one)]
    if late and len(late) == len(done.deliveries):
        where = ", ".join(f"{one.agent_id} {one.state}" for one in late)
        raise Failed(
            f"message {message_id} cannot be taken back any more: {where}",
            fix=f"agent-relay show {message_id}",
        )
    output.show_object(done)
    output.table(
        ("DELIVERY", "AGENT", "RESULT", "STATE", "REASON"),
        [
            (
                str(one.id),
                one.agent_id,
                one.result.replace("_", " "),
                str(one.state),
                one.reason or NOTHING,
            )
            for one in done.deliveries
        ],
        empty=f"message {message_id} had no recipient",
    )
    if late:
        raise click.exceptions.Exit(ExitCode.FAILED)


def is_too_late(delivery: CancelledDelivery) -> bool:
    """Tell whether a recipient has it, or may still get it."""
    return delivery.result == ON_ITS_WAY or delivery.state is DeliveryState.DELIVERED


async def _cancel(message_id: int, url: str | None) -> Cancellation:
    async with open_hub(url) as hub:
        return await hub.cancel(message_id)
