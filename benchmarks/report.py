"""The table that people read and the JSON that programs read."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Row, Section, Spread
from relay_core import Struct

HEAD = ("what", "median (low … high)", "yardstick", "its median", "ratio (low … high)", "goal", "")
_MET = {True: "met", False: "missed", None: ""}
_WHOLE = 100


class Machine(Struct):
    """Where a run took place, as far as it matters for reading its figures."""

    python: str
    sqlite: str
    system: str
    processors: int
    load_before: float
    load_after: float


class Report(Struct):
    """One run: `quick` figures are a smoke test and say nothing."""

    command: str
    quick: bool
    started_at: str
    seconds: float
    machine: Machine
    sections: tuple[Section, ...]


def machine(load_before: float) -> Machine:
    """Describe this machine at the end of a run."""
    return Machine(
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        system=f"{platform.system()} {platform.machine()}",
        processors=os.cpu_count() or 1,
        load_before=round(load_before, 2),
        load_after=round(os.getloadavg()[0], 2),
    )


def utc(seconds: float) -> str:
    """Write a time as people and programs read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def table(report: Report) -> str:
    """Write the whole report as Markdown that is readable as it is."""
    about = report.machine
    where = f"{about.system}, {about.processors} processors, Python {about.python}"
    load = f"load {about.load_before} before and {about.load_after} after"
    lines = [
        f"`{report.command}`, {report.started_at}, {report.seconds:.0f} s",
        "",
        f"{where}, SQLite {about.sqlite}, {load}.",
    ]
    if report.quick:
        lines += ["", "A quick run shows that everything works; its figures say nothing."]
    for section in report.sections:
        lines += ["", f"### {section.title}", "", *_grid(section.rows, judged=not report.quick)]
        lines += ["", *(f"* {note}" for note in section.notes)] if section.notes else []
    return "\n".join(lines)


def in_memory(folder: Path) -> bool:
    """Tell whether a folder is kept in memory, where a commit costs nothing; False if unknown."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    found: dict[Path, str] = {}
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split()
        found[Path(place)] = kind
    path = folder.resolve()
    nearest = next(each for each in (path, *path.parents) if each in found)
    return found[nearest] in {"tmpfs", "ramfs"}


def _grid(rows: Sequence[Row], *, judged: bool) -> list[str]:
    cells = [HEAD, *(_cells(row, judged=judged) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    ruled = [cells[0], tuple("-" * width for width in widths), *cells[1:]]
    return [
        "| "
        + " | ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        + " |"
        for line in ruled
    ]


def _cells(row: Row, *, judged: bool) -> tuple[str, ...]:
    if row.value is None:
        return (row.name, f"not measured: {row.missing}", "", "", "", _goal(row), "")
    beside = row.yardstick_value
    return (
        row.name,
        _spread(row.value, row.unit),
        row.yardstick or "",
        "" if beside is None else f"{number(beside.median)} {row.unit}",
        "" if row.ratio is None else _spread(row.ratio, ""),
        _goal(row),
        _MET[row.met] if judged else "",
    )


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return (
        f"{row.goal} {row.unit}" if row.value is not None and not row.yardstick else str(row.goal)
    )


def _spread(spread: Spread, unit: str) -> str:
    middle = f"{number(spread.median)} {unit}".strip()
    if spread.low == spread.high:
        return middle
    return f"{middle} ({number(spread.low)} … {number(spread.high)})"


def number(value: float) -> str:
    """Write a number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"
