"""Which version this is; a running host of another one is asked to hand over."""

from __future__ import annotations

DISTRIBUTION = "agent-relay-codex"


def version() -> str:
    """The version of the installed distribution."""
    from importlib import metadata  # slow, and seldom asked for

    return metadata.version(DISTRIBUTION)
