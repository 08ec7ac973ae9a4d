"""What it costs to import the names that every plugin and every command begins with."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.figures import Goal, Round, Section, percentile, row
from benchmarks.programs import Place, timed
from benchmarks.stage import Stage

BARE = "python -I -S -c pass"
SITE = "python -c pass"
CORE = "import relay_core"
NEEDED = "import msgspec, pluggy, pathlib"
WHOLE = f"{CORE}, the whole process"
PROGRAMS = {
    BARE: (sys.executable, "-I", "-S", "-c", "pass"),
    SITE: (sys.executable, "-c", "pass"),
    WHOLE: (sys.executable, "-c", CORE),
}
STATEMENTS = (CORE, NEEDED)
TIMED = "from time import perf_counter as now; at = now(); {}; print((now() - at) * 1e3)"


async def measure(stage: Stage) -> Section:
    """Run each program in turn, once before that: Python keeps what it has compiled."""
    nothing = stage.folder / "nothing"
    nothing.touch()
    place = Place(environ=stage.environ, given=nothing, printed=stage.folder / "printed")
    place.run(PROGRAMS[WHOLE])
    programs = await asyncio.to_thread(timed, stage, "imports", PROGRAMS, place, stage.size.rounds)
    statements = [await asyncio.to_thread(_statements, stage, place) for _ in programs]
    rounds = [{**one, **other} for one, other in zip(programs, statements, strict=True)]
    return Section(
        name="imports",
        title="Importing relay_core",
        rows=(
            row(f"{CORE}, p50", CORE, "ms", rounds, goal=Goal(most=60)),
            row("the same beside what it needs of others", CORE, "ms", rounds,
                beside=(NEEDED,), yardstick=NEEDED),
            row(f"{WHOLE}, p50", WHOLE, "ms", rounds, beside=(BARE,), yardstick=BARE),
            row(f"{SITE}, p50", SITE, "ms", rounds),
        ),
        notes=(
            "The statement is timed inside its process; what it needs of others is part of it.",
            "A whole process also starts, finds its packages, and takes all of it down again.",
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


def _statements(stage: Stage, place: Place) -> Round:
    """Let each statement time itself, each time in a new process; the median of each."""
    took: dict[str, list[float]] = {each: [] for each in STATEMENTS}
    for _ in range(stage.size.runs):
        for each in STATEMENTS:
            place.run((sys.executable, "-c", TIMED.format(each)))
            took[each].append(float(place.printed.read_text()))
    return {each: percentile(samples, 0.5) for each, samples in took.items()}
