"""`python -m relay_cli` is `agent-relay`."""

from relay_cli.main import main

main()
