"""Three agents, two hundred pieces of work, and holders that are killed: each is done once."""

import pytest

from handover_world import HandOvers, hand_overs
from relay_core.hub_api import ClaimRequest
from relay_core.messages import ClaimState
from relay_hub.service import claims
from relay_hub.store.rows import ClaimRow

SEEDS = 2
FEW = 50
"""Pieces of work, where the number of them is not the point."""


@pytest.fixture(scope="module", params=range(SEEDS))
def run(request: pytest.FixtureRequest) -> HandOvers:
    return hand_overs(request.param)


def test_each_piece_of_work_is_completed_once_by_whoever_held_it(run: HandOvers):
    assert run.problems() == []
    assert len(run.tasks) == 200


def test_holders_were_killed_and_their_late_results_refused(run: HandOvers):
    changed = [task for task in run.tasks if task.hands > 1]

    assert run.counts["killed"] >= 20
    assert len(changed) >= 20, "work changed hands"
    assert run.counts["late result refused"] >= 10


def test_the_report_lists_every_hand_over(run: HandOvers):
    lines = run.report().splitlines()

    assert lines[0].split() == ["MESSAGE", "HAND-OVERS", "COMPLETED", "BY", "TOKEN"]
    assert len(lines) == 1 + len(run.tasks)
    for task, line in zip(run.tasks, lines[1:], strict=True):
        assert line.count("→") == task.hands - 1


def test_a_hub_that_believes_a_former_holder_is_found_out(monkeypatch: pytest.MonkeyPatch):
    held_by = claims._held_by

    def believe(claim: ClaimRow, request: ClaimRequest) -> ClaimRow:
        late = request.result is not None and claim.state is ClaimState.HELD
        return claim if late else held_by(claim, request)

    monkeypatch.setattr(claims, "_held_by", believe)

    assert hand_overs(0).problems() != []


def test_the_same_seed_has_the_same_hand_overs():
    assert hand_overs(3, tasks=FEW).report() == hand_overs(3, tasks=FEW).report()
