"""Two real sessions that pair: every step that somebody waits for becomes a turn of the other."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from real_codex import Workplace
from relay_core.hub_api import ACTING_HEADER
from relay_plugins.codex.testing import CodexServer, StubModel
from relay_rig import Rig

THIRD = "a-third"


@pytest.fixture
async def rig(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
) -> AsyncIterator[Rig]:
    async with Rig(short_path, workplace, codex_server, stub_model) as everything:
        yield everything


async def asked(rig: Rig, path: str, **body: object) -> dict[str, Any]:
    async with rig.http() as http:
        answer = await http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())


async def refused(rig: Rig, pair: dict[str, Any], state: str) -> None:
    """Check that an agent outside of a pair may do nothing in it and learns nothing of it."""
    path = f"/api/pairs/{pair['id']}"
    steps = {f"{path}/{each}": {} for each in ("accept", "reject", "hangup")}
    steps[f"{path}/messages"] = {"body": "let me in"}
    async with rig.http() as http:
        own = {ACTING_HEADER: THIRD}
        before = (await http.get(path)).json()
        answers = [await http.post(step, json=body, headers=own) for step, body in steps.items()]
        for step, body in steps.items():  # in another's name
            named = {**body, "from": pair["inviter"]}
            answers.append(await http.post(step, json=named, headers=own))
        assert [each.status_code for each in answers] == [403] * 8
        codes = {each.json()["code"] for each in answers}
        assert codes <= {"not_in_pair", "foreign_agent", "foreign_sender"}, codes
        assert (await http.get(path, headers=own)).status_code == 404
        assert (await http.get("/api/pairs", headers=own)).json() == {"pairs": []}
        named = {"from": pair["inviter"], "target": THIRD}
        forged = await http.post("/api/pairs", json=named, headers=own)
        assert forged.status_code == 403
        if state != "ended":
            busy = await http.post("/api/pairs", json={"target": pair["invitee"]}, headers=own)
            assert (busy.status_code, busy.json()["code"]) == (409, "pair_busy")
        after = (await http.get(path)).json()
        assert after == before
        assert after["state"] == state


async def newest(rig: Rig, thread: str, words: str) -> str:
    """Wait until a thread's newest user message holds these words; answers all of it."""
    found = [""]

    async def there() -> bool:
        found[:] = [item.text for item in await rig.codex.user_items(thread)] or [""]
        return words in found[-1]

    await rig.until(there, f"a turn with {words!r}", rig.host)
    return found[-1]


async def test_a_pair_from_the_invitation_to_the_end_is_seen_in_both_sessions(rig: Rig):
    thread, partner = await rig.new_session()
    pair = await asked(
        rig, "/api/pairs", **{"from": rig.agent, "target": partner, "objective": "Debug it"}
    )
    path = f"/api/pairs/{pair['id']}"
    invitation = await newest(rig, thread, "Debug it")
    await asked(rig, "/api/agents", id=THIRD)
    await refused(rig, pair, "pending")
    await asked(rig, f"{path}/accept", agentId=partner)
    acceptance = await newest(rig, rig.thread, "accepted")
    await refused(rig, pair, "active")
    await asked(rig, f"{path}/messages", **{"from": rig.agent, "body": "what do you see?"})
    question = await newest(rig, thread, "what do you see?")
    await asked(rig, f"{path}/messages", **{"from": partner, "body": "a race"})
    answer = await newest(rig, rig.thread, "a race")
    await asked(rig, f"{path}/hangup", agentId=partner)
    end = await newest(rig, rig.thread, "hung up")
    await refused(rig, pair, "ended")

    assert f"agent-relay pair accept {pair['id']} --from {partner}" in invitation
    assert f"agent-relay pair reject {pair['id']} --from {partner}" in invitation
    assert f"agent-relay pair send {pair['id']} TEXT --from {rig.agent}" in acceptance
    for text in (invitation, acceptance, question, answer, end):
        assert pair["id"] in text
    assert "needs no answer" in end
