"""`agent-relay claim`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from relay_cli.caller import acting_agent, as_option
from relay_cli.connection import open_hub
from relay_cli.deciding import ListByDefault, agent_option
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
from relay_cli.view import NOTHING, ago, left, shortened
from relay_core.hub_api import Claim, ClaimRequest
from relay_core.messages import ClaimState, MessageId, Struct
from relay_core.sessions import Agent
from relay_core.work import GOING_ON, HandOver, Task, TaskView

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

SHOWN_CHARACTERS = 50
MOST = 50
EVERY = "all"

Work = Callable[[MessageId, ClaimRequest], Awaitable[Claim]]


class Claims(Struct):
    """What `claim list --json` prints; `more` says that older ones were left out."""

    claims: tuple[Task, ...]
    more: bool = False


message_argument = click.argument("message_id", metavar="MESSAGE", type=message_number)


@click.group(
    "claim",
    cls=ListByDefault,
    subcommand_metavar="[COMMAND] [ARGS]...",
    help="""List the work of claimable messages; take it, end it, or give it back.

    One agent at a time holds the work of a message that was sent with `--claimable`. Its host keeps
    the claim while the session is there; a claim that nobody keeps lapses, and the work is offered
    again. Sessions do all of this with their tools. A person does it for one with `--as AGENT`: an
    agent's own shell needs no name.

    Without a command below, the work that is open or held is listed. Every command takes `--json`.

    \b
    Examples:
      agent-relay claim
      agent-relay claim list --state all --agent codex-web-a1b2c3d4e5f6
      agent-relay claim show 12
      agent-relay claim take 12 --as codex-web-a1b2c3d4e5f6
      agent-relay claim complete 12 --result "Merged." --as codex-web-a1b2c3d4e5f6
      agent-relay claim release 12 --as codex-web-a1b2c3d4e5f6
    """,
)
def command() -> None:
    """See to claimable work."""


@command.command("list", help="List work, that of the newest message first.")
@click.option(
    "--state",
    "states",
    type=click.Choice([*(state.value for state in ClaimState), EVERY]),
    multiple=True,
    help="Only work in this state, or in any. May be repeated. Default: open and held.",
)
@agent_option("Only what this agent holds or has ended, and what is open for it.")
@before_option
@limit_option(MOST)
@url_option
@json_option
def list_(
    states: tuple[str, ...],
    agent: str | None,
    before: int | None,
    limit: int,
    output: Output,
    url: str | None,
) -> None:
    """List work."""
    wanted = tuple(ClaimState) if EVERY in states else tuple(map(ClaimState, states))
    looking = _look(wanted or GOING_ON, agent, before, limit + 1, url)
    found = finish(looking, output, "asking the hub")
    claims = Claims(claims=found[:limit], more=len(found) > limit)
    output.show_object(claims)
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("MESSAGE", "STATE", "HOLDER", "SINCE", "LEASE", "LAPSES", "FROM", "SUBJECT"),
        [_cells(task, now_ms) for task in claims.claims],
        empty="no such work",
    )
    if claims.more:
        narrowed = "".join(f" --state {state}" for state in states)
        narrowed += f" --agent {agent}" if agent else ""
        last = claims.claims[-1].message_id
        output.more(f"agent-relay claim list{narrowed} --before {last}")


def _cells(task: Task, now_ms: int) -> tuple[str, ...]:
    return (
        str(task.message_id),
        str(task.state),
        task.agent_id or NOTHING,
        ago(task.since_ms, now_ms),
        left(task.until_ms, now_ms),
        str(task.lapses),
        task.from_,
        shortened(task.subject or task.excerpt, SHOWN_CHARACTERS),
    )


async def _look(
    states: tuple[ClaimState, ...],
    agent: str | None,
    before: int | None,
    most: int,
    url: str | None,
) -> tuple[Task, ...]:
    """Ask for page after page, until there are enough or no more."""
    found: tuple[Task, ...] = ()
    async with open_hub(url) as hub:
        if agent is not None:
            await hub.agent(agent)
        while len(found) < most:
            page = await hub.tasks(agent, states=states, before=before)
            if not page:
                break
            found += page
            before = page[-1].message_id
    return found[:most]


@command.command("show", help="Show where the work of a message stands, and every hand-over.")
@message_argument
@url_option
@json_option
def show(message_id: int, output: Output, url: str | None) -> None:
    """Show the work of one message."""
    view = finish(_one(message_id, url), output, "asking the hub")
    output.show_object(view)
    if not output.as_json:
        _print(view, output)


async def _one(message_id: int, url: str | None) -> TaskView:
    async with open_hub(url) as hub:
        return await hub.task(message_id)


def _print(view: TaskView, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    claim, message = view.claim, view.message
    rows = [
        ("message", str(message.id)),
        ("from", message.from_),
        ("to", message.to),
        ("subject", message.subject),
        ("state", str(claim.state)),
        ("since", ago(claim.since_ms, now_ms)),
        ("holder", claim.agent_id),
        ("lease", None if claim.until_ms is None else left(claim.until_ms, now_ms)),
        ("lapses", str(claim.lapses)),
        ("result", None if claim.result_id is None else f"message {claim.result_id}"),
        ("not sent", claim.not_sent),
    ]
    output.fields([(name, value) for name, value in rows if value is not None])
    if claim.result is not None:
        output.line()
        output.block("\n".join(f"  {line}".rstrip() for line in claim.result.split("\n")))
    output.line()
    output.table(
        ("WHEN", "EVENT", "AGENT", "TOKEN"),
        [_step_cells(step, now_ms) for step in view.events],
        empty="nobody has taken it",
    )


def _step_cells(step: HandOver, now_ms: int) -> tuple[str, ...]:
    return ago(step.at_ms, now_ms), str(step.event), step.agent_id or NOTHING, str(step.token)


@command.command(
    "take",
    help="""Take the work of a message for an agent that it was sent to.

    The agent's host keeps the claim from then on, and the message becomes a turn of its session
    where it has not been one. Refused while another agent holds it: that one releases it first.
    """,
)
@message_argument
@as_option
@url_option
@json_option
def take(message_id: int, acting_as: str | None, output: Output, url: str | None) -> None:
    """Take work."""
    claim, agent = _done("claim", message_id, acting_as, None, output, url)
    output.line(f"message {claim.message_id} is held by {claim.agent_id}")
    if not agent.reachable:
        now_ms = time.time_ns() // 1_000_000
        output.remark(
            f"{agent.id} is away, so nobody keeps its claim: {left(claim.until_ms, now_ms)}"
        )


@command.command(
    "complete",
    help="""End the work of a message as done.

    Its sender gets the result as a message from the agent. Doing it twice is harmless.
    """,
)
@message_argument
@click.option("--result", metavar="TEXT", help="What came of it; `-` reads standard input.")
@as_option
@url_option
@json_option
def complete(
    message_id: int, result: str | None, acting_as: str | None, output: Output, url: str | None
) -> None:
    """End work as done."""
    text = _text(result, "--result")
    claim, _ = _done("complete", message_id, acting_as, text, output, url)
    _tell_end(claim, output)


@command.command(
    "fail",
    help="""End the work of a message as failed: nobody else is asked.

    Its sender gets the reason as a message from the agent. Doing it twice is harmless.
    """,
)
@message_argument
@click.option("--reason", metavar="TEXT", help="Why it cannot be done; `-` reads standard input.")
@as_option
@url_option
@json_option
def fail(
    message_id: int, reason: str | None, acting_as: str | None, output: Output, url: str | None
) -> None:
    """End work as failed."""
    text = _text(reason, "--reason")
    claim, _ = _done("fail", message_id, acting_as, text, output, url)
    _tell_end(claim, output)


@command.command(
    "release",
    help="""Give the work of a message back, so that the others are offered it.

    Doing it twice is harmless.
    """,
)
@message_argument
@as_option
@url_option
@json_option
def release(message_id: int, acting_as: str | None, output: Output, url: str | None) -> None:
    """Give work back."""
    claim, agent = _done("release", message_id, acting_as, None, output, url)
    output.line(f"{agent.id} has given message {claim.message_id} back; it is {claim.state}")


def _text(given: str | None, option: str) -> str | None:
    return None if given is None else read_text(given, f"give it after {option}, or leave that out")


def _done(
    verb: str,
    message_id: int,
    acting_as: str | None,
    text: str | None,
    output: Output,
    url: str | None,
) -> tuple[Claim, Agent]:
    """Do something as an agent, and print the claim with `--json`."""
    work = _do(verb, MessageId(message_id), acting_as, text, url)
    claim, agent = finish(work, output, "asking the hub")
    output.show_object(claim)
    return claim, agent


async def _do(
    verb: str, message_id: MessageId, acting_as: str | None, text: str | None, url: str | None
) -> tuple[Claim, Agent]:
    async with open_hub(url) as hub:
        agent = await acting_agent(hub, acting_as)
        request = ClaimRequest(
            agent_id=agent.id, instance_id=agent.instance_id, epoch=agent.epoch, result=text
        )
        return await _calls(hub)[verb](message_id, request), agent


def _calls(hub: HubClient) -> dict[str, Work]:
    return {
        "claim": hub.claim,
        "complete": hub.complete,
        "fail": hub.fail,
        "release": hub.release,
    }


def _tell_end(claim: Claim, output: Output) -> None:
    told = f"message {claim.message_id} is {claim.state}"
    if claim.result_id is not None:
        told += f"; its sender has the result as message {claim.result_id}"
    output.line(told)
    if claim.not_sent is not None:
        output.remark(
            f"the result was not sent ({claim.not_sent}): "
            f"`agent-relay claim show {claim.message_id}` keeps it"
        )
