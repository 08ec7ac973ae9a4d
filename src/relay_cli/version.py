"""Which version this is; a running host of another one is asked to hand over."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "agent-relay-codex"


def version() -> str:
    """The version of the installed distribution."""
    return metadata.version(DISTRIBUTION)
