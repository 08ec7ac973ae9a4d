"""Three real sessions do work and are killed at it: each piece is completed once.

`pytest tests/integration/test_handovers.py --handovers 200 -s` does two hundred and prints every
hand-over.
"""

from pathlib import Path

import pytest

from handover_rig import HandOverRig
from relay_plugins.codex.launcher import CodexBinary

FEW = 12


@pytest.fixture
def pieces(request: pytest.FixtureRequest) -> int:
    wanted = request.config.getoption("--handovers")
    return FEW if wanted is None else int(wanted)


@pytest.mark.timeout(3_600)  # the rig has a limit of its own, for as many pieces as there are
async def test_holders_that_are_killed_cost_no_work_and_double_none(
    short_path: Path, codex_binary: CodexBinary, pieces: int
):
    async with HandOverRig(short_path, codex_binary, seed=7) as rig:
        done = await rig.run(pieces)

    print(f"\n{done.report()}\n{dict(done.counts)}")
    assert done.problems() == []
    assert len(done.tasks) == pieces
    assert done.counts["killed"] >= 1
    assert any(task.hands > 1 for task in done.tasks), "work changed hands"
