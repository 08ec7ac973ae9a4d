"""`agent-relay pair`."""

from __future__ import annotations

import time

import click
from click.shell_completion import CompletionItem

from relay_cli.caller import acting_agent, as_option, sending_agent, this_thread
from relay_cli.completion import targets
from relay_cli.connection import open_hub
from relay_cli.options import identifier, json_option, limit_option, url_option
from relay_cli.output import Output
from relay_cli.pairing import end_pair, open_pair, print_pair
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.typed_text import read_text
from relay_cli.view import NOTHING, ago, shortened
from relay_core.hub_api import Pair, PairAnswer, PairMessageRequest, PairRequest, SendResponse
from relay_core.messages import OPEN_PAIR, AgentId, PairId, PairState, Struct

SHOWN_CHARACTERS = 50
MOST = 20


class Pairs(Struct):
    """What `pair status --json` prints; `more` says that older ones were left out."""

    pairs: tuple[Pair, ...]
    more: bool = False


class InviteByDefault(click.Group):
    """A group whose first word is a command of it, or else whom to invite."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise Usage("pair with whom?", fix="name a TARGET, or see `agent-relay pair --help`")
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["invite", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        whom = targets(ctx, click.Argument(["target"]), incomplete)
        return [*super().shell_complete(ctx, incomplete), *whom]


@click.group(
    "pair",
    cls=InviteByDefault,
    help="""Pair two agents, so that they work on one thing together.

    `agent-relay pair TARGET [OBJECTIVE]` invites: TARGET is any target of `agent-relay send` that
    means exactly one other agent. A pair is exclusive: an agent is in one pending or active pair
    at a time. What the two write to each other with `pair send` goes to the partner alone.

    In the shell of a Codex session all of it is done as that session's agent; elsewhere name the
    agent with `--as`. Every command takes `--json`. To invite an agent whose name is one of the
    commands, write `pair invite TARGET`.

    \b
    Examples:
      agent-relay pair codex-api-a1b2c3d4e5f6 "Debug the flaky tests" --as codex-web-0123456789ab
      agent-relay pair status
      agent-relay pair accept
      agent-relay pair send PAIR_ID "What do you see?"
      agent-relay pair hangup
    """,
)
def command() -> None:
    """Pair two agents."""


@command.command(
    "invite",
    help="""Invite an agent to a pair: `pair TARGET [OBJECTIVE]` for short.

    The invitation reaches the agent as a message; it holds until it is accepted, rejected or
    taken back with `pair hangup`.
    """,
)
@click.argument("target", shell_complete=targets)
@click.argument("objective", required=False)
@as_option
@url_option
@json_option
def invite(
    target: str, objective: str | None, acting_as: str | None, output: Output, url: str | None
) -> None:
    """Invite an agent."""
    if not target.strip():
        raise Usage("TARGET is empty", fix="list the agents with `agent-relay agents`")
    pair = finish(_invite(target, objective, acting_as, url), output, "inviting")
    output.show_object(pair)
    print_pair(pair, output)


async def _invite(
    target: str, objective: str | None, acting_as: str | None, url: str | None
) -> Pair:
    async with open_hub(url) as hub:
        agent = await acting_agent(hub, acting_as)
        return await hub.invite(PairRequest(target=target, from_=agent.id, objective=objective))


@command.command(
    "status",
    help="""Show pairs: one, or those of an agent, or all that are open.

    Without PAIR, the open pair of the agent that this shell is in, or of `--as AGENT`; where there
    is no such agent, the open pairs of all. `--all` lists those that have ended as well.
    """,
)
@click.argument("pair_id", metavar="[PAIR]", type=identifier, required=False)
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@click.option("--before", type=identifier, metavar="PAIR", help="Only what is older than this one.")
@limit_option(MOST)
@as_option
@url_option
@json_option
def status(
    pair_id: str | None,
    every: bool,
    before: str | None,
    limit: int,
    acting_as: str | None,
    output: Output,
    url: str | None,
) -> None:
    """Show pairs."""
    if pair_id is not None:
        pair = finish(_one(pair_id, url), output, "asking the hub")
        output.show_object(Pairs(pairs=(pair,)))
        print_pair(pair, output)
        return
    states = () if every else OPEN_PAIR
    found = finish(_some(acting_as, states, before, limit + 1, url), output, "asking the hub")
    pairs = Pairs(pairs=found[:limit], more=len(found) > limit)
    output.show_object(pairs)
    now_ms = time.time_ns() // 1_000_000
    output.table(
        ("PAIR", "STATE", "INVITER", "INVITEE", "OBJECTIVE", "CHANGED"),
        [_cells(pair, now_ms) for pair in pairs.pairs],
        empty="no pairs" if every else "no open pairs; `agent-relay pair status --all` lists all",
    )
    if pairs.more:
        named = f" --as {acting_as}" if acting_as else ""
        everything = " --all" if every else ""
        output.more(f"agent-relay pair status{everything}{named} --before {found[limit - 1].id}")


def _cells(pair: Pair, now_ms: int) -> tuple[str, ...]:
    state = f"{pair.state} ({pair.reason})" if pair.reason else str(pair.state)
    objective = shortened(pair.objective, SHOWN_CHARACTERS) if pair.objective else NOTHING
    return pair.id, state, pair.inviter, pair.invitee, objective, ago(pair.updated_at, now_ms)


async def _one(pair_id: str, url: str | None) -> Pair:
    async with open_hub(url) as hub:
        return await hub.pair(pair_id)


async def _some(
    acting_as: str | None,
    states: tuple[PairState, ...],
    before: str | None,
    most: int,
    url: str | None,
) -> tuple[Pair, ...]:
    found: tuple[Pair, ...] = ()
    async with open_hub(url) as hub:
        agent_id = None
        if acting_as is not None or this_thread() is not None:
            agent_id = (await acting_agent(hub, acting_as)).id
        after = None if before is None else PairId(before)
        while len(found) < most:
            page = await hub.pairs(agent_id, states=states, before=after)
            if not page:
                break
            found += page
            after = page[-1].id
    return found[:most]


@command.command(
    "accept",
    help="""Accept an invitation.

    Without PAIR, the one that the acting agent was sent. In a shell of your own, `pair accept PAIR`
    accepts for the agent that was invited.
    """,
)
@click.argument("pair_id", metavar="[PAIR]", type=identifier, required=False)
@as_option
@url_option
@json_option
def accept(pair_id: str | None, acting_as: str | None, output: Output, url: str | None) -> None:
    """Accept an invitation."""
    pair = finish(_answer(pair_id, acting_as, url, accepted=True), output, "asking the hub")
    output.show_object(pair)
    print_pair(pair, output)


@command.command("reject", help="Turn an invitation down. PAIR is chosen as `pair accept` does.")
@click.argument("pair_id", metavar="[PAIR]", type=identifier, required=False)
@as_option
@url_option
@json_option
def reject(pair_id: str | None, acting_as: str | None, output: Output, url: str | None) -> None:
    """Turn an invitation down."""
    pair = finish(_answer(pair_id, acting_as, url, accepted=False), output, "asking the hub")
    output.show_object(pair)
    print_pair(pair, output)


async def _answer(
    pair_id: str | None, acting_as: str | None, url: str | None, *, accepted: bool
) -> Pair:
    async with open_hub(url) as hub:
        if pair_id is None:
            agent_id: AgentId | None = (agent := await acting_agent(hub, acting_as)).id
            wanted = (await open_pair(hub, agent.id)).id
        else:
            agent_id, wanted = await sending_agent(hub, acting_as), PairId(pair_id)
        answer = PairAnswer(agent_id=agent_id)
        if accepted:
            return await hub.accept_pair(wanted, answer)
        return await hub.reject_pair(wanted, answer)


@command.command(
    "send",
    help="""Write to the partner.

    TEXT is the message; `-` reads it from standard input. Write `--` before a text that starts
    with `-`.
    """,
)
@click.argument("pair_id", metavar="PAIR", type=identifier)
@click.argument("text", metavar="TEXT")
@click.option("--urgent", is_flag=True, help="Ask to interrupt, where the partner allows it.")
@as_option
@url_option
@json_option
def send(
    pair_id: str, text: str, urgent: bool, acting_as: str | None, output: Output, url: str | None
) -> None:
    """Write to the partner."""
    body = read_text(text, "give it after PAIR, or `-` for stdin")
    sent = finish(_send(pair_id, body, acting_as, url, urgent=urgent), output, "sending")
    output.show_object(sent)
    away = "; the partner is away, it waits at the hub" if sent.deliveries[0].away else ""
    output.line(f"message {sent.id} to {sent.deliveries[0].agent_id}{away}")


async def _send(
    pair_id: str, body: str, acting_as: str | None, url: str | None, *, urgent: bool
) -> SendResponse:
    async with open_hub(url) as hub:
        agent = await acting_agent(hub, acting_as)
        request = PairMessageRequest(body=body, from_=agent.id, urgent=urgent)
        return await hub.send_to_pair(pair_id, request)


@command.command(
    "hangup",
    help="""End a pair, or take an invitation back.

    Without PAIR, the one that the acting agent is in, as `agent-relay disconnect` does.
    """,
)
@click.argument("pair_id", metavar="[PAIR]", type=identifier, required=False)
@as_option
@url_option
@json_option
def hangup(pair_id: str | None, acting_as: str | None, output: Output, url: str | None) -> None:
    """End a pair."""
    pair = finish(end_pair(pair_id, acting_as, url), output, "hanging up")
    output.show_object(pair)
    print_pair(pair, output)
