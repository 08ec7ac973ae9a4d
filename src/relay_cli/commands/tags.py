"""`agent-relay tags`."""

from __future__ import annotations

import click
import msgspec

from relay_cli.caller import acting_agent, as_option
from relay_cli.completion import tags as known_tags
from relay_cli.connection import open_hub
from relay_cli.options import json_option, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_cli.view import words
from relay_core.hub_api import AgentPatch
from relay_core.messages import AgentId, Struct
from relay_core.sessions import Agent


class TagsReport(Struct):
    """What `tags --json` prints."""

    agent_id: AgentId
    tags: tuple[str, ...]


class _Meta(Struct):
    cwd: str = ""


@click.command(
    "tags",
    help="""Show or set the tags of an agent.

    A tag is a group that messages can be sent to: `agent-relay send tag:TAG …`. Without TAG they
    are shown. Those that say what a session is (its provider, rig and project) stay; all others
    are replaced. What is set here stays until it is set again, whatever the session's profile
    says.

    \b
    Examples:
      agent-relay tags backend tests urgent
      agent-relay tags --clear
      agent-relay tags frontend --as codex-web-a1b2c3d4e5f6
    """,
)
@click.argument("tags", nargs=-1, metavar="[TAG]...", shell_complete=known_tags)
@click.option("--clear", is_flag=True, help="Take all tags away that can be taken.")
@as_option
@url_option
@json_option
def command(
    tags: tuple[str, ...], clear: bool, acting_as: str | None, output: Output, url: str | None
) -> None:
    """Show or set tags."""
    wanted = tuple(tag.strip() for given in tags for tag in given.split(",") if tag.strip())
    if clear and tags:
        raise Usage("--clear takes no TAG", fix="use one of them")
    if tags and not wanted:
        raise Usage("the tag is empty", fix="agent-relay tags --clear")
    changed = wanted if clear or tags else None
    agent = finish(_set(changed, acting_as, url), output, "asking the hub")
    output.show_object(TagsReport(agent_id=agent.id, tags=agent.tags))
    output.line(
        f"{agent.id} has the tags {words(agent.tags)}" if agent.tags else f"{agent.id} has no tags"
    )


async def _set(wanted: tuple[str, ...] | None, acting_as: str | None, url: str | None) -> Agent:
    async with open_hub(url) as hub:
        agent = await acting_agent(hub, acting_as)
        if wanted is None:
            return agent
        every = tuple(dict.fromkeys((*own_tags(agent), *wanted)))
        return await hub.change_agent(agent.id, AgentPatch(tags=every))


def own_tags(agent: Agent) -> tuple[str, ...]:
    """List the tags that say what a session is: its provider, rig and project."""
    try:
        folder = msgspec.json.decode(agent.meta, type=_Meta).cwd
    except msgspec.DecodeError:
        folder = ""
    facts = {agent.adapter, agent.rig, folder.rstrip("/").rpartition("/")[2] or "unknown"}
    return tuple(tag for tag in agent.tags if tag in facts)
