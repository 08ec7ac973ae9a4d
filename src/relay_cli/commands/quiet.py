"""`agent-relay quiet`."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import click

from relay_cli.caller import acting_agent, this_thread
from relay_cli.completion import agent_ids
from relay_cli.connection import open_hub
from relay_cli.options import identifier, json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.view import NOTHING, clock_time
from relay_core.hub_api import AgentPatch
from relay_core.messages import AgentId, Struct
from relay_core.sessions import Agent
from relay_core.settings import duration_ms

END_NOW = 0
"""The `quietUntil` that ends an agent's quiet."""

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


class QuietAgent(Struct):
    """One agent as `quiet --json` shows it; `quiet_until_ms` is None where it is not quiet."""

    agent_id: AgentId
    quiet_until_ms: int | None


class QuietReport(Struct):
    """What `quiet --json` prints."""

    agents: tuple[QuietAgent, ...]


def span_ms(text: str) -> int:
    """Read how long: a number with its unit, `30m` or `2h`."""
    found = duration_ms(text)
    if not found:
        raise click.BadParameter(f"{text!r} is no duration above zero, such as 30m, 2h or 1d")
    return found


def next_time_ms(text: str, now: datetime) -> int:
    """Read when: the next time that a clock where `now` is shows `HH:MM`."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise Usage(f"--until {text!r} is no time of day", fix="write it as HH:MM, 24 hours")
    end = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    if end <= now:
        end += timedelta(days=1)
    # A local time without a zone, so that a clock that is changed meanwhile is right, too.
    return round(end.timestamp() * 1000)


@click.command(
    "quiet",
    help="""Keep messages from an agent for a while; what came in comes as one turn afterwards.

    AGENT is the session that this shell is in, where none is named. Senders are told that their
    message is `held (quiet)`. What you send yourself goes in all the same, and so do urgent
    messages of those who may interrupt (`urgent_from` in config.toml). When the quiet ends, by
    time or by `--off`, two or more messages come as a digest.

    Without `--for`, `--until` and `--off` it is shown who is quiet. An agent that is quiet
    already gets the new end.

    \b
    Examples:
      agent-relay quiet --for 30m
      agent-relay quiet codex-web-a1b2c3d4e5f6 --until 14:00
      agent-relay quiet --all --for 2h
      agent-relay quiet --all --off
    """,
)
@click.argument("agent", required=False, type=identifier, shell_complete=agent_ids)
@click.option("--for", "span", type=span_ms, metavar="TIME", help="Quiet for so long: 30m, 2h, 1d.")
@click.option("--until", metavar="HH:MM", help="Quiet until a clock here shows this time.")
@click.option("--off", is_flag=True, help="End the quiet now.")
@click.option("--all", "every", is_flag=True, help="Every agent that there is.")
@url_option
@json_option
def command(
    agent: str | None,
    span: int | None,
    until: str | None,
    off: bool,
    every: bool,
    output: Output,
    url: str | None,
) -> None:
    """Set or show who is quiet."""
    if sum((span is not None, until is not None, off)) > 1:
        raise Usage("--for, --until and --off exclude each other", fix="give one of them")
    if agent is not None and every:
        raise Usage("--all takes no AGENT", fix="use one of them")
    now_ms = time.time_ns() // 1_000_000
    end_ms: int | None = END_NOW if off else None
    if span is not None:
        end_ms = now_ms + span
    elif until is not None:
        end_ms = next_time_ms(until, datetime.fromtimestamp(now_ms / 1000))  # noqa: DTZ006 - a clock here
    one = not every and (agent is not None or this_thread() is not None)
    if not (one or every or end_ms is None):
        raise Usage(
            "which agent? this shell is in no session",
            fix="name one, or all with --all; `agent-relay agents` lists them",
        )
    agents = finish(_agents(agent, one, end_ms, url), output, "asking the hub")
    if end_ms is None:
        quiet = tuple(each for each in agents if each.quiet_until_ms is not None)
        _show(agents if one else quiet, output, now_ms)
        return
    output.show_object(_report(agents))
    for each in agents:
        output.line(_told(each, now_ms))
    if not agents:
        output.line("there is no agent")


async def _agents(
    named: str | None, one: bool, end_ms: int | None, url: str | None
) -> tuple[Agent, ...]:
    async with open_hub(url) as hub:
        meant = (await acting_agent(hub, named),) if one else await hub.agents()
        if end_ms is None:
            return meant
        patch = AgentPatch(quiet_until=end_ms)
        return tuple([await hub.change_agent(each.id, patch) for each in meant])


def _report(agents: tuple[Agent, ...]) -> QuietReport:
    return QuietReport(
        agents=tuple(
            QuietAgent(agent_id=each.id, quiet_until_ms=each.quiet_until_ms) for each in agents
        )
    )


def _show(agents: tuple[Agent, ...], output: Output, now_ms: int) -> None:
    output.show_object(_report(agents))
    output.table(
        ("AGENT", "LABEL", "QUIET UNTIL"),
        [
            (each.id, each.label or NOTHING, clock_time(each.quiet_until_ms, now_ms))
            for each in agents
        ],
        empty="no agent is quiet",
    )


def _told(agent: Agent, now_ms: int) -> str:
    if agent.quiet_until_ms is None:
        return f"{agent.id} is not quiet"
    return f"{agent.id} is quiet until {clock_time(agent.quiet_until_ms, now_ms)}"
