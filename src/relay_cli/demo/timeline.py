"""What happened when, in milliseconds since the demo began."""

from __future__ import annotations

import time

from relay_cli.output import Output
from relay_core.messages import Struct


class Step(Struct):
    """One thing that happened."""

    name: str
    at_ms: int


class Timeline:
    """Prints each step when it happens and keeps them all."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._began_ms = _now_ms()
        self.steps: list[Step] = []

    def doing(self, what: str) -> None:
        """Say what is being waited for."""
        self._output.progress(f"{_now_ms() - self._began_ms:>7} ms  {what} …")

    def step(self, name: str, told: str, *, at_ms: int | None = None) -> None:
        """Note a step: now, or at a time on the hub's clock, which is this machine's."""
        passed = max(0, (_now_ms() if at_ms is None else at_ms) - self._began_ms)
        self.steps.append(Step(name=name, at_ms=passed))
        self._output.progress_done()
        self._output.line(f"{passed:>7} ms  {told}")
        self._output.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
