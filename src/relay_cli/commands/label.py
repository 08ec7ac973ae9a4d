"""`agent-relay label`."""

from __future__ import annotations

import click

from relay_cli.caller import acting_agent, as_option
from relay_cli.connection import open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_core.hub_api import AgentPatch
from relay_core.messages import AgentId, Struct
from relay_core.sessions import Agent


class LabelReport(Struct):
    """What `label --json` prints."""

    agent_id: AgentId
    label: str | None


@click.command(
    "label",
    help="""Show or set the label of an agent.

    A label is the name that people and agents call an agent by: `agent-relay send label:TEXT …`.
    Without TEXT the label is shown. What is set here stays until it is set again, whatever the
    session's profile says.

    \b
    Examples:
      agent-relay label "backend fixer"
      agent-relay label --clear
      agent-relay label reviewer --as codex-web-a1b2c3d4e5f6
    """,
)
@click.argument("text", nargs=-1)
@click.option("--clear", is_flag=True, help="Take the label away.")
@as_option
@url_option
@json_option
def command(
    text: tuple[str, ...], clear: bool, acting_as: str | None, output: Output, url: str | None
) -> None:
    """Show or set a label."""
    wanted = " ".join(text).strip()
    if clear and text:
        raise Usage("--clear takes no TEXT", fix="use one of them")
    if text and not wanted:
        raise Usage("the label is empty", fix="agent-relay label --clear")
    label = "" if clear else wanted or None
    agent = finish(_set(label, acting_as, url), output, "asking the hub")
    output.show_object(LabelReport(agent_id=agent.id, label=agent.label))
    told = "has no label" if agent.label is None else f"has the label {agent.label}"
    output.line(f"{agent.id} {told}")


async def _set(label: str | None, acting_as: str | None, url: str | None) -> Agent:
    async with open_hub(url) as hub:
        agent = await acting_agent(hub, acting_as)
        if label is None:
            return agent
        return await hub.change_agent(agent.id, AgentPatch(label=label))
