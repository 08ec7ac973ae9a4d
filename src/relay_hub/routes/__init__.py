"""The HTTP API: one module for each noun."""

from __future__ import annotations

from relay_hub.routes import (
    agents,
    claims,
    dead,
    deliveries,
    guards,
    held,
    messages,
    pairs,
    tokens,
)

# The ones that are asked most often come first.
ROUTES = (
    *messages.ROUTES,
    *deliveries.ROUTES,
    *agents.ROUTES,
    *pairs.ROUTES,
    *claims.ROUTES,
    *dead.ROUTES,
    *guards.ROUTES,
    *held.ROUTES,
    *tokens.ROUTES,
)
"""Every route but the websocket and those of `health`."""
