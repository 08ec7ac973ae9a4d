"""What it costs to import the names that every plugin and every command begins with."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.figures import Goal, Section, row
from benchmarks.programs import Place, timed
from benchmarks.stage import Stage

BARE = "python -I -S -c pass"
SITE = "python -c pass"
CORE = "import relay_core"
NEEDED = "import msgspec, pluggy, pathlib"
ALONE = f"{CORE}, the import alone"
THEIRS = f"{NEEDED}, the import alone"
PROGRAMS = {
    BARE: (sys.executable, "-I", "-S", "-c", "pass"),
    SITE: (sys.executable, "-c", "pass"),
    CORE: (sys.executable, "-c", CORE),
    NEEDED: (sys.executable, "-c", NEEDED),
}


async def measure(stage: Stage) -> Section:
    """Run each program in turn, once before that: Python keeps what it has compiled."""
    nothing = stage.folder / "nothing"
    nothing.touch()
    place = Place(environ=stage.environ, given=nothing, printed=stage.folder / "printed")
    place.run(PROGRAMS[CORE])
    timings = await asyncio.to_thread(timed, stage, "imports", PROGRAMS, place, stage.size.rounds)
    rounds = [
        {**each, ALONE: each[CORE] - each[SITE], THEIRS: each[NEEDED] - each[SITE]}
        for each in timings
    ]
    return Section(
        name="imports",
        title="Importing relay_core",
        rows=(
            row(f"{ALONE}, p50", ALONE, "ms", rounds, goal=Goal(most=60)),
            row(f"{THEIRS}, p50", THEIRS, "ms", rounds),
            row(f"{CORE}, the whole process", CORE, "ms", rounds, beside=(BARE,), yardstick=BARE),
            row(f"{SITE}, p50", SITE, "ms", rounds),
            row(f"{BARE}, p50", BARE, "ms", rounds),
        ),
        notes=(
            "Wall time of a process; an import alone is that less a process that imports nothing.",
            "What relay_core needs of others is part of its import.",
        ),
        rounds=tuple(rounds),
    )
