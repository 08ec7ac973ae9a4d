"""The commands of `agent-relay`, one module each."""
