"""The program `agent-relay`."""

from __future__ import annotations

import sys

from relay_cli.program import CommandPlace, LazyGroup, run

COMMANDS = "relay_cli.commands"

PROGRAM = LazyGroup(
    "agent-relay",
    {
        "up": CommandPlace(
            module=f"{COMMANDS}.up", summary="Run the host and, where none answers, the hub."
        ),
        "down": CommandPlace(module=f"{COMMANDS}.down", summary="Stop the running host."),
        "status": CommandPlace(
            module=f"{COMMANDS}.status", summary="Show the hub, the host and its sessions."
        ),
        "demo": CommandPlace(
            module=f"{COMMANDS}.demo",
            summary="See a message become a turn in a real session, proved.",
        ),
        "agents": CommandPlace(
            module=f"{COMMANDS}.agents", summary="List the agents that messages can be sent to."
        ),
        "send": CommandPlace(module=f"{COMMANDS}.send", summary="Send a message to agents."),
        "show": CommandPlace(
            module=f"{COMMANDS}.show", summary="Show a message and where its deliveries stand."
        ),
        "inbox": CommandPlace(
            module=f"{COMMANDS}.inbox", summary="List the messages for an agent."
        ),
        "plugins": CommandPlace(
            module=f"{COMMANDS}.plugins", summary="List the plugins and what became of them."
        ),
        "token": CommandPlace(
            module=f"{COMMANDS}.token", summary="Show where the token is; make one for an agent."
        ),
    },
    "Messages between coding agents, delivered as turns in their running sessions.",
)


def main() -> None:
    """Run `agent-relay` with the arguments of this process."""
    sys.exit(run(PROGRAM, sys.argv[1:]))
