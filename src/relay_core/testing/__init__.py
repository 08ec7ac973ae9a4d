"""For plugin authors' tests: a whole relay on virtual time, an agent in memory, a record of all
decisions.

`pytest` finds the fixtures `relay`, `relay_clock` and `decisions` by itself; install
`agent-relay-codex[testing]` for what they need.
"""

from __future__ import annotations

from relay_core.testing.asked import Asked
from relay_core.testing.decisions import Decided, Decisions
from relay_core.testing.harness import Harness, HarnessSession, Sent
from relay_core.testing.loading import HarnessError
from relay_core.testing.memory_agent import Faults, MemoryAgent
from relay_core.testing.values import sample_message, sample_session
from relay_core.testing.virtual_time import SeededRandom, VirtualClock, virtual_runner

__all__ = [
    "Asked",
    "Decided",
    "Decisions",
    "Faults",
    "Harness",
    "HarnessError",
    "HarnessSession",
    "MemoryAgent",
    "SeededRandom",
    "Sent",
    "VirtualClock",
    "sample_message",
    "sample_session",
    "virtual_runner",
]
