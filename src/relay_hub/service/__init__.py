"""The rules of the hub: no SQL, no HTTP."""

from __future__ import annotations

from relay_hub.service.hub import HubService, Registered
from relay_hub.service.once import Once, once

__all__ = ["HubService", "Once", "Registered", "once"]
