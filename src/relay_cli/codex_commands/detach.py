"""`agent-relay-codex detach`."""

from __future__ import annotations

import click

from relay_cli.completion import agent_ids
from relay_cli.connection import ask_host
from relay_cli.options import identifier, json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Usage
from relay_core.host_api import AttachedList, DetachRequest
from relay_core.messages import AgentId


@click.command(
    "detach",
    help="""Stop serving an attached thread.

    The session itself goes on; mail for its agent waits at the hub.
    """,
)
@click.argument("agent", required=False, type=identifier, shell_complete=agent_ids)
@click.option(
    "--thread", type=identifier, metavar="ID", help="The thread to detach, instead of AGENT."
)
@click.option("--all", "everything", is_flag=True, help="Detach every attached thread.")
@json_option
def command(agent: str | None, thread: str | None, everything: bool, output: Output) -> None:
    """Detach one thread, or all."""
    if [agent is not None, thread is not None, everything].count(True) != 1:
        raise Usage("say what to detach", fix="name an AGENT, or use --thread ID, or --all")
    request = DetachRequest(agent_id=None if agent is None else AgentId(agent), thread_id=thread)
    answer = finish(ask_host("codex.detach", request, AttachedList), output, "detaching")
    output.show_object(answer)
    output.table(
        ("AGENT", "THREAD"),
        [(one.agent_id, one.thread_id) for one in answer.attached],
        empty="nothing was attached",
    )
