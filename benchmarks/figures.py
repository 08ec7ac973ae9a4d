"""From samples to figures, and from figures to rows: medians over rounds, ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from relay_core import Struct

Round = Mapping[str, float]
"""What one round measured, by name."""


class Goal(Struct):
    """What a row's ratio or value should be: at most, or at least."""

    most: float | None = None
    least: float | None = None

    def __str__(self) -> str:
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"

    def met_by(self, number: float) -> bool:
        """Tell whether a number is as good as wanted."""
        if self.most is not None and number > self.most:
            return False
        return self.least is None or number >= self.least


class Spread(Struct):
    """A median over rounds, with the lowest and the highest round."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Sum up one number of each round."""
        return cls(median=statistics.median(numbers), low=min(numbers), high=max(numbers))


class Row(Struct):
    """One line of the table.

    `ratio` is the value divided by the yardstick of the same round. The goal is the ratio's where
    there is a yardstick, else the value's. `missing` says why nothing was measured.
    """

    name: str
    unit: str
    value: Spread | None = None
    yardstick: str | None = None
    yardstick_value: Spread | None = None
    ratio: Spread | None = None
    goal: Goal | None = None
    met: bool | None = None
    missing: str | None = None


class Section(Struct):
    """One benchmark: its rows, what to know about them, and every round's figures."""

    name: str
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()


def percentile(samples: Sequence[float], part: float) -> float:
    """The sample below which this part (0 to 1) of the others lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def latencies(name: str, samples: Sequence[float]) -> dict[str, float]:
    """Name the median and the 99th percentile of one round's samples."""
    return {f"{name} p50": percentile(samples, 0.5), f"{name} p99": percentile(samples, 0.99)}


def row(
    name: str,
    key: str,
    unit: str,
    rounds: Sequence[Round],
    *,
    beside: tuple[str, ...] = (),
    yardstick: str | None = None,
    goal: Goal | None = None,
) -> Row:
    """Make a row of the figure `key`; its yardstick is the sum of the figures `beside`."""
    value = Spread.of([each[key] for each in rounds])
    if not beside:
        met = goal.met_by(value.median) if goal else None
        return Row(name=name, unit=unit, value=value, goal=goal, met=met)
    sums = [sum(each[other] for other in beside) for each in rounds]
    ratio = Spread.of([each[key] / total for each, total in zip(rounds, sums, strict=True)])
    return Row(
        name=name,
        unit=unit,
        value=value,
        yardstick=yardstick or " + ".join(beside),
        yardstick_value=Spread.of(sums),
        ratio=ratio,
        goal=goal,
        met=goal.met_by(ratio.median) if goal else None,
    )
