"""The commands of `agent-relay-codex`, one module each."""
