"""What the conformance kit found out: a line for each check, and what an adapter can really do."""

from __future__ import annotations

import enum

from relay_core.messages import Struct


class Verdict(enum.StrEnum):
    """What came of one check."""

    OK = "ok"
    FAILED = "failed"
    NOT_MEASURED = "not measured"


class CheckResult(Struct):
    """One check: `name` for programs, `line` what it claims, `detail` what was seen otherwise."""

    name: str
    line: str
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0


class Capability(Struct):
    """One row of the matrix: what `describe` claims, and what was measured.

    `measured` is `not measured` with the reason in `why` where it could not be, and `-` where
    nothing is claimed.
    """

    name: str
    claimed: str
    measured: str
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether it was measured as claimed, or better."""
        return rank(self.name, self.measured) >= rank(self.name, self.claimed)


class Checks(Struct):
    """What came of several checks."""

    checks: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(each.name for each in self.checks if each.verdict is Verdict.FAILED)


class AdapterReport(Checks):
    """What the kit says of one adapter and the agent behind it."""

    adapter: str
    agent: str
    matrix: tuple[Capability, ...]


NOT_CLAIMED = "-"
NOT_MEASURED = "not measured"

RANKS: dict[str, tuple[str, ...]] = {
    "wake": ("no", "yes"),
    "steer": ("none", "next_step", "live"),
    "interrupt": ("no", "yes"),
    "prove": ("none", "by_text", "by_id"),
    "reply": ("none", "ordered", "linked"),
    "visible": ("no", "yes"),
}
"""The capabilities of `Abilities`, and for each what it may be, least first."""


def rank(capability: str, value: str) -> int:
    """Say how much a value is; what was not measured is as much as any claim."""
    ranks = RANKS[capability]
    return ranks.index(value) if value in ranks else len(ranks)


def matrix_text(report: AdapterReport) -> str:
    """Write the matrix as aligned lines."""
    rows = _rows(report)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def markdown(report: AdapterReport) -> str:
    """Write the matrix and the checks as two Markdown tables, without times."""
    head, *rows = _rows(report)
    lines = [_line(head), _line(("---",) * len(head)), *map(_line, rows), ""]
    lines += [_line(("check", "result", "")), _line(("---",) * 3)]
    lines += [_line((each.line, each.verdict, each.detail)) for each in report.checks]
    return "\n".join(lines)


def _rows(report: AdapterReport) -> list[tuple[str, ...]]:
    return [
        ("capability", "claimed", "measured", ""),
        *((each.name, each.claimed, each.measured, each.why) for each in report.matrix),
    ]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace(
        "|  |", "| |"
    )
