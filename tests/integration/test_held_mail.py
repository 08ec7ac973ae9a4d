"""What waits for a human's yes, on a real session."""

from pathlib import Path
from typing import Any

from real_codex import Workplace
from relay_plugins.codex.testing import CodexServer, ShellCall, StubModel
from relay_rig import Rig


async def ask(rig: Rig, method: str, path: str, body: object = None) -> Any:
    async with rig.http() as http:
        answer = await http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()


async def test_an_edited_and_approved_text_becomes_a_turn_once_and_a_dropped_one_none(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
):
    patient = 'strategy = "patient"'
    async with Rig(short_path, workplace, codex_server, stub_model, delivery=patient) as rig:
        rig.model.enqueue(ShellCall("sleep 1"))
        await rig.codex.start_turn(rig.thread, "the user's own words", None)
        await rig.model.requests_reach(1)
        edited, dropped = await rig.send("delete everything"), await rig.send("and again")
        for message in (edited, dropped):
            number = (await rig.show(message))["id"]
            path = f"/api/deliveries/{number}/verdict"
            await ask(rig, "POST", path, {"state": "held", "reason": "needs_yes"})
        await rig.rest()
        waiting = [each["delivery"]["id"] for each in (await ask(rig, "GET", "/api/held"))["held"]]
        edit = ("-m", "relay_cli", "held", "edit", str(waiting[-1]), "look, and change nothing")
        await rig.command(*edit, "--approve", "--json")
        await rig.command("-m", "relay_cli", "held", "drop", str(waiting[0]), "--json")
        await rig.becomes(edited, "delivered")
        await rig.settled(dropped)
        await rig.rest()
        texts = await rig.texts()
        views = [await ask(rig, "GET", f"/api/messages/{each}") for each in (edited, dropped)]

    assert sum("look, and change nothing" in text for text in texts) == 1
    assert not [text for text in texts if "delete everything" in text or "and again" in text]
    assert 'Edited by: "operator"' in texts[-1]
    assert max(rig.model.counts("look, and change nothing")) == 1
    assert [view["body"] for view in views] == ["delete everything", "and again"]
    states = [(each["state"], each["edited"]) for view in views for each in view["deliveries"]]
    assert states == [("delivered", True), ("skipped", False)]
