"""The rules of the hub: no SQL, no HTTP."""

from __future__ import annotations

from relay_hub.service.agent_calls import Registered
from relay_hub.service.hub import HubService
from relay_hub.service.once import once

__all__ = ["HubService", "Registered", "once"]
