"""`agent-relay token`."""

from __future__ import annotations

import click

from relay_cli.completion import agent_ids
from relay_cli.connection import find_token, look_around, open_hub
from relay_cli.options import identifier, json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Damaged, Usage
from relay_core.messages import Struct


class TokenReport(Struct):
    """What `token --json` prints; never the token itself."""

    file: str
    exists: bool
    used: str


class RevealedToken(Struct):
    """What `token show --reveal --json` prints."""

    token: str


class AgentToken(Struct):
    """What `token new --json` prints: the only time that this token is shown."""

    agent_id: str
    token: str


@click.group(
    "token",
    invoke_without_command=True,
    help="""Show where the token is; make one for an agent.

    Every command finds the user token by itself: in AGENT_RELAY_TOKEN, else in the token file. It
    lets its bearer act as any agent. A token of an agent acts for that agent alone.
    """,
)
@json_option
@click.pass_context
def command(context: click.Context, output: Output) -> None:
    """Show where the token is, unless a command below is asked for."""
    if context.invoked_subcommand is not None:
        if output.as_json:
            fix = f"agent-relay token {context.invoked_subcommand} --json"
            raise Usage("--json stands behind the command that it is for", fix=fix)
        return
    here = look_around()
    from_environment = here.settings.hub.token is not None
    exists = find_token(here) is not None and here.places.token_file.exists()
    report = TokenReport(
        file=str(here.places.token_file),
        exists=exists,
        used="AGENT_RELAY_TOKEN" if from_environment else "file",
    )
    output.show_object(report)
    made = "" if exists else " (not made yet: `agent-relay up` makes it)"
    output.fields([("file", f"{report.file}{made}"), ("used", report.used)])


@command.command("show", help="Print the user token.")
@click.option("--reveal", is_flag=True, help="Yes, print it: whoever sees it can act as you.")
@json_option
def show(reveal: bool, output: Output) -> None:
    """Print the user token."""
    if not reveal:
        raise Usage("the token is a secret", fix="agent-relay token show --reveal")
    here = look_around()
    token = find_token(here)
    if token is None:
        raise Damaged(
            f"there is no token in {here.places.token_file}", fix="agent-relay up --detach"
        )
    output.show_object(RevealedToken(token=token))
    output.line(token)


@command.command("new", help="Make a token that acts for one agent, and print it this once.")
@click.argument("agent", type=identifier, shell_complete=agent_ids)
@url_option
@json_option
def new(agent: str, output: Output, url: str | None) -> None:
    """Make a token for an agent."""
    token = finish(_make(agent, url), output, "asking the hub")
    output.show_object(AgentToken(agent_id=agent, token=token))
    output.line(token)


async def _make(agent: str, url: str | None) -> str:
    async with open_hub(url) as hub:
        return await hub.new_agent_token(agent)
