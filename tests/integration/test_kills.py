"""SIGKILL of host, hub and Codex at three points of a delivery: nothing lost, nothing doubled.

Four kills in each of nine cells, for both strategies, at rest and during a turn of the user's. The
same cells find out a host that believes the agent's answer.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kill_rig import CONTROLS, KillRig
from real_codex import Workplace
from relay_plugins.codex.testing import CodexServer, StubModel

KILLS = 4
POINTS = ("attempt_recorded", "agent_replied", "evidence_seen")
TARGETS = ("host", "hub", "codex")


@pytest.fixture
def make_rig(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
) -> Callable[..., KillRig]:
    return partial(KillRig, short_path, workplace, codex_server, stub_model)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("during", ["rest", "turn"])
@pytest.mark.parametrize("strategy", ["adaptive", "patient"])
@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_is_lost_or_doubled_when_one_of_the_three_is_killed(
    make_rig: Callable[..., KillRig], target: str, strategy: str, during: str
):
    async with make_rig(strategy=strategy) as everything:
        for point in POINTS:
            tag = f"{target} {point}"
            outcome = await everything.run(target, point, kills=KILLS, during=during, tag=tag)

            assert outcome.kills == KILLS
            assert set(outcome.states.values()) == {"delivered"}
            assert outcome.lost == []
            assert outcome.doubled == []
            assert not outcome.out_of_order
            assert outcome.most_in_a_request == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("target", "during", "fault"), [("codex", "turn", "lost"), ("host", "rest", "doubled")]
)
async def test_a_host_that_believes_the_agents_answer_is_found_out(
    make_rig: Callable[..., KillRig], target: str, during: str, fault: str
):
    program = (str(CONTROLS / "naive_host.py"),)
    async with make_rig(host_program=program) as everything:
        outcome = await everything.run(
            target, "agent_replied", kills=KILLS, during=during, tag=f"naive {target}"
        )

    assert getattr(outcome, fault), "a host that never looks passed: this test would find nothing"
