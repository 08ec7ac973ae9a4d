"""The pytest fixtures for plugins' tests; pytest loads this module by its entry point."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from relay_core.ports import Clock
    from relay_core.testing.decisions import Decisions
    from relay_core.testing.harness import Harness

MARKER = (
    "relay(start=None, real_time=False, strict=True, seed=0): how the fixture `relay` runs; "
    "start is a time like '2027-01-15 22:00'"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """A relay for this test: hub, host, sidecars, plugins and an agent in memory, on virtual time.

    `@pytest.mark.relay(...)` sets how it runs.
    """
    from relay_core.testing.harness import Harness

    options: dict[str, object] = {}
    for mark in reversed(list(request.node.iter_markers("relay"))):
        options |= mark.kwargs
    if isinstance(start := options.get("start"), str):
        options["start"] = datetime.fromisoformat(start)
    with Harness(tmp_path / "relay", **options) as harness:  # type: ignore[arg-type]
        yield harness


@pytest.fixture
def relay_clock(relay: Harness) -> Clock:
    """The clock of the fixture `relay`; `relay.advance(seconds)` moves it."""
    return relay.clock


@pytest.fixture
def decisions(relay: Harness) -> Decisions:
    """What the plugins of the fixture `relay` were asked so far, and what they answered."""
    return relay.decisions
