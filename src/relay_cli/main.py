"""The entry point of `agent-relay`."""

# Nothing is imported up here: Ctrl-C during the imports must end like any other.


def main() -> None:
    """Run `agent-relay` with the arguments of this process."""
    import sys

    try:
        from relay_cli.program import run
        from relay_cli.programs import AGENT_RELAY

        status = run(AGENT_RELAY, sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("agent-relay: interrupted\n")
        status = 130
    sys.exit(status)
