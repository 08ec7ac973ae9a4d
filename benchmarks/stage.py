"""What every benchmark is given: how much to do, where, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from relay_core import Struct


class Size(Struct):
    """How much is measured; `messages` and `pairs` are per round, times in seconds.

    `short_rounds` are those of latencies: the shorter a round, the closer a yardstick stands.
    """

    rounds: int
    short_rounds: int
    messages: int
    gap_s: float
    seconds: float
    warm_s: float
    decisions: int
    pairs: int
    pollers: int
    poll_s: float
    polled_for_s: float
    sessions: int
    settle_s: float
    runs: int
    idle_s: float


FULL = Size(
    rounds=5,
    short_rounds=15,
    messages=60,
    gap_s=0.005,
    seconds=2.0,
    warm_s=0.25,
    decisions=3_000,
    pairs=8,
    pollers=10,
    poll_s=2.0,
    polled_for_s=9.0,
    sessions=20,
    settle_s=1.0,
    runs=20,
    idle_s=30.0,
)
QUICK = Size(
    rounds=1,
    short_rounds=1,
    messages=10,
    gap_s=0.005,
    seconds=0.2,
    warm_s=0.0,
    decisions=100,
    pairs=2,
    pollers=2,
    poll_s=0.1,
    polled_for_s=0.6,
    sessions=3,
    settle_s=0.1,
    runs=3,
    idle_s=0.2,
)


class Stage(Struct):
    """Where a benchmark plays.

    `folder` is an empty one on the disk that is measured, `socket_folder` has a path short enough
    for unix sockets. `environ` is the caller's without any setting of the relay or of Codex; every
    child gets it. `say` shows progress.
    """

    folder: Path
    socket_folder: Path
    size: Size
    environ: Mapping[str, str]
    say: Callable[[str], None]
    compiler: str | None
