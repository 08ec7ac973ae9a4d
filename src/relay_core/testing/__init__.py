"""What tests of plugins and of the relay itself are made with; shipped, so that authors have it
too."""

from __future__ import annotations

from relay_core.testing.memory_agent import Faults, Item, MemoryAgent, MemoryThread

__all__ = ["Faults", "Item", "MemoryAgent", "MemoryThread"]
