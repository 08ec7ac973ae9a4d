"""SIGKILL of host, hub and Codex, and of all three, at every failpoint of a delivery.

Nothing is lost, doubled or out of order, for both strategies, at rest and during a turn of the
user's. The same cells find out two weaker hosts. `--kills N` kills so often in each cell, and
`--histories FOLDER` keeps what happened, for the checker or for whoever wants to read it.
"""

import glob
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from history import Killed
from history_checker import violations
from kill_rig import CONTROLS, HUB_POINTS, POINTS, KillRig
from real_codex import Workplace
from relay_core import Failpoint
from relay_plugins.codex.testing import CodexServer, StubModel

SOON_S = 6.0
"""A host that has forgotten a message does not remember it later either."""
KILLS_OF_A_CONTROL = {"naive_host": 3, "seed_like_host": 1}
NEVER_KILLED_AT = {Failpoint.INJECT_DROPPED}
"""It drops what is handed over, and kills nobody."""


@pytest.fixture
def make_rig(
    short_path: Path,
    workplace: Workplace,
    codex_server: CodexServer,
    stub_model: StubModel,
    request: pytest.FixtureRequest,
) -> Callable[..., KillRig]:
    folder = request.config.getoption("--histories")
    tries = len(list(Path(folder).glob(f"{glob.escape(request.node.name)}*"))) if folder else 0
    kept = folder and Path(folder) / f"{request.node.name}.{tries}.jsonl"
    return partial(KillRig, short_path, workplace, codex_server, stub_model, kept=kept)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--kills")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("during", ["rest", "turn"])
@pytest.mark.parametrize("strategy", ["adaptive", "patient"])
@pytest.mark.parametrize("target", POINTS)
async def test_nothing_is_lost_or_doubled_whoever_is_killed(
    make_rig: Callable[..., KillRig], kills: int, target: str, strategy: str, during: str
):
    async with make_rig(strategy=strategy) as everything:
        for point in POINTS[target]:
            await everything.run(target, point, kills=kills, during=during)
            assert violations(everything.history) == []

    killed = [each for each in everything.history if isinstance(each, Killed)]
    assert len(killed) == kills * len(POINTS[target])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("control", "target", "point", "during"),
    [
        ("naive_host", "codex", "agent_replied", "turn"),
        ("naive_host", "host", "agent_replied", "rest"),
        ("seed_like_host", "host", "attempt_recorded", "rest"),
    ],
)
async def test_a_weaker_host_is_found_out(
    make_rig: Callable[..., KillRig], control: str, target: str, point: str, during: str
):
    program = (str(CONTROLS / f"{control}.py"),)
    async with make_rig(host_program=program, settle_s=SOON_S) as everything:
        await everything.run(target, point, kills=KILLS_OF_A_CONTROL[control], during=during)

    broken = violations(everything.history)
    assert [line for line in broken if line.startswith(("I1", "I2"))], "it passed: so would others"


def test_every_failpoint_is_one_that_somebody_is_killed_at():
    at = {point for points in POINTS.values() for point in points}

    assert at == {str(each) for each in set(Failpoint) - NEVER_KILLED_AT}
    assert set(HUB_POINTS) < at
