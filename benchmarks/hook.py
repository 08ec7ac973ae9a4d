"""The hook command: how long it keeps a session's first turn waiting, beside Python's own start.

It is run as Codex runs it: by /bin/sh, through `relay.sh` and the user's launcher file, which
`agent-relay-codex install` would write; and once more without these two. A host answers it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping

import msgspec

from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.figures import Goal, Round, Row, Section, row
from benchmarks.hosts import host
from benchmarks.programs import Place, timed
from benchmarks.stage import Stage
from relay_core import find_places
from relay_plugins.codex.hook_launcher import launcher_file, this_target, write_launcher
from relay_plugins.codex.manifest import (
    PLUGIN_FOLDER,
    hook_command,
    manifest_files,
    manifest_folder,
)

BARE = "python -I -S -c pass"
WHOLE = "the hook command through relay.sh and launcher, p50"
ALONE = "the hook alone, p50"
GOAL = Goal(most=1.4)


async def measure(stage: Stage) -> Section:
    """Measure both ways; where there is no Codex to have a session of, a row says so."""
    codex = wanted_codexes(stage.environ)[0]
    rounds: list[Round] = []
    if isinstance(codex, Missing):
        rows: tuple[Row, ...] = (Row(name=WHOLE, unit="ms", goal=GOAL, missing=codex.why),)
    else:
        async with host(stage, codex, "hook", threads=1) as running:
            (agent_id,) = await running.attach()
            programs = _programs(running.environ)
            place = Place(
                environ=running.environ,
                given=running.folder / "given",
                printed=running.folder / "printed",
            )
            place.given.write_bytes(_input(running.threads[0]))
            await asyncio.to_thread(place.run, programs[WHOLE])
            assert agent_id in place.printed.read_text(), place.printed.read_text()
            rounds += await asyncio.to_thread(
                timed, stage, "hook", programs, place, stage.size.short_rounds
            )
        beside = (BARE,)
        rows = (
            row(WHOLE, WHOLE, "ms", rounds, beside=beside, yardstick=BARE, goal=GOAL),
            row(ALONE, ALONE, "ms", rounds, beside=beside, yardstick=BARE, goal=GOAL),
            row(f"{BARE}, p50", BARE, "ms", rounds),
        )
    return Section(
        name="hook",
        title="The hook command",
        rows=rows,
        notes=(
            "Wall time from the start of the process to its end, its answer read; the same Python.",
            "A running host answers for a session that it serves.",
        ),
        rounds=tuple(rounds),
    )


def _programs(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Write the launcher file, and tell what is run."""
    target = this_target(environ, find_places(environ, os.getuid()))
    write_launcher(launcher_file(environ), target)
    folder = manifest_folder()
    whole = shlex.split(hook_command(manifest_files(folder), folder / PLUGIN_FOLDER))
    python, socket = str(target.python), str(target.control_socket)
    return {
        WHOLE: tuple(whole),
        ALONE: (python, "-I", "-S", str(target.runner), str(target.hook), socket),
        BARE: (python, *shlex.split(BARE)[1:]),
    }


def _input(thread: str) -> bytes:
    """What Codex writes to the hook's stdin, as far as it matters."""
    given = {"session_id": thread, "hook_event_name": "SessionStart", "source": "startup"}
    return msgspec.json.encode(given)
