"""The program `agent-relay-codex`."""

from __future__ import annotations

import sys

from relay_cli.program import CommandPlace, LazyGroup, run

COMMANDS = "relay_cli.codex_commands"

PROGRAM = LazyGroup(
    "agent-relay-codex",
    {
        "attach": CommandPlace(
            module=f"{COMMANDS}.attach", summary="Serve the threads of a Codex app-server."
        ),
        "detach": CommandPlace(
            module=f"{COMMANDS}.detach", summary="Stop serving an attached thread."
        ),
        "status": CommandPlace(
            module=f"{COMMANDS}.status", summary="Show the Codex sessions that are served."
        ),
    },
    "Codex sessions as agents of the relay.",
)


def main() -> None:
    """Run `agent-relay-codex` with the arguments of this process."""
    sys.exit(run(PROGRAM, sys.argv[1:]))


if __name__ == "__main__":
    main()
