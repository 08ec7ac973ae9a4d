"""Programs that are timed from their start to their end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import Round, percentile
from benchmarks.stage import Stage
from relay_core import Struct


class Place(Struct):
    """Where the programs run: their environment, and files for what they read and print."""

    environ: Mapping[str, str]
    given: Path
    printed: Path

    def run(self, program: tuple[str, ...]) -> float:
        """Run one to its end; milliseconds. With as little around it as the system has."""
        began = time.perf_counter()
        pid = os.posix_spawn(program[0], program, self.environ, file_actions=self._files())
        _, status = os.waitpid(pid, 0)
        took_ms = (time.perf_counter() - began) * 1_000
        assert status == 0, (program, self.printed.read_bytes())
        return took_ms

    def _files(self) -> list[tuple[int, int, str, int, int]]:
        written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return [
            (os.POSIX_SPAWN_OPEN, 0, str(self.given), os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.printed), written, 0o600),
        ]


def timed(
    stage: Stage,
    name: str,
    programs: Mapping[str, tuple[str, ...]],
    place: Place,
    number_of_rounds: int,
) -> list[Round]:
    """Run each program in turn; blocks, so that nothing of this process lies in between."""
    rounds: list[Round] = []
    for number in range(number_of_rounds):
        stage.say(f"{name}: round {number + 1} of {number_of_rounds}")
        took: dict[str, list[float]] = {each: [] for each in programs}
        for _ in range(stage.size.runs):
            for each, program in programs.items():
                took[each].append(place.run(program))
        rounds.append({each: percentile(samples, 0.5) for each, samples in took.items()})
    return rounds
