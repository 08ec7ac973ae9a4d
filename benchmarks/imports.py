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
    rounds = await asyncio.to_thread(timed, stage, "imports", PROGRAMS, place)
    return Section(
        name="imports",
        title="Importing relay_core",
        rows=(
            row(f"{CORE}, p50", CORE, "ms", rounds, goal=Goal(most=60)),
            row(f"{CORE}, beside", CORE, "ms", rounds, beside=(BARE,), yardstick=BARE),
            row(f"{NEEDED}, p50", NEEDED, "ms", rounds),
            row(f"{SITE}, p50", SITE, "ms", rounds),
            row(f"{BARE}, p50", BARE, "ms", rounds),
        ),
        notes=(
            "Wall time of the whole process, the interpreter's own start included.",
            f"Of {CORE}, what {NEEDED} takes is not ours.",
        ),
        rounds=tuple(rounds),
    )
