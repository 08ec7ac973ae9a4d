"""The entry point of `agent-relay-codex`."""

# Nothing is imported up here: Ctrl-C during the imports must end like any other.


def main() -> None:
    """Run `agent-relay-codex` with the arguments of this process."""
    import sys

    try:
        from relay_cli.program import run
        from relay_cli.programs import AGENT_RELAY_CODEX

        status = run(AGENT_RELAY_CODEX, sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("agent-relay-codex: interrupted\n")
        status = 130
    sys.exit(status)


def start() -> None:
    """Run `codex-relay`, which is `agent-relay-codex start`."""
    import sys

    sys.argv[1:1] = ["start"]
    main()


if __name__ == "__main__":
    main()
