"""A message that a real session cannot take, and one that its sender takes back in time."""

from pathlib import Path
from typing import Any

from real_codex import Workplace
from relay_plugins.codex.testing import CodexServer, ShellCall, StubModel
from relay_rig import Rig

TOO_LARGE = 1_048_577
"""Codex takes this many characters less one."""


async def ask(rig: Rig, method: str, path: str) -> Any:
    async with rig.http() as http:
        answer = await http.request(method, path)
        answer.raise_for_status()
        return answer.json()


async def test_what_codex_refuses_is_a_dead_letter_and_what_is_taken_back_never_comes(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
):
    limits = f"request_bytes = {4 * TOO_LARGE}\nbody_bytes = {2 * TOO_LARGE}"
    patient = 'strategy = "patient"'
    async with Rig(
        short_path, workplace, codex_server, stub_model, delivery=patient, limits=limits
    ) as rig:
        rig.model.enqueue(ShellCall("sleep 1"))
        await rig.codex.start_turn(rig.thread, "the user's own words", None)
        await rig.model.requests_reach(1)
        taken_back = await rig.send("never mind")
        done = await ask(rig, "POST", f"/api/messages/{taken_back}/cancel")
        refused = await rig.send("x" * TOO_LARGE, subject="a book")
        await rig.becomes(refused, "dead")
        (letter,) = (await ask(rig, "GET", "/api/dead"))["dead"]
        view = await ask(rig, "GET", f"/api/dead/{letter['delivery']['id']}")
        notices = await ask(rig, "GET", "/api/messages?for=operator")
        successor = await ask(rig, "POST", f"/api/dead/{letter['delivery']['id']}/retry")
        last = await rig.send("still there?")
        await rig.becomes(last, "delivered")
        await rig.rest()
        texts = "\n".join(await rig.texts())
        shown = await ask(rig, "GET", f"/api/messages/{refused}")

    assert [each["result"] for each in done["deliveries"]] == ["cancelled"]
    assert "never mind" not in texts
    assert "xxxx" not in texts
    assert "still there?" in texts
    assert letter["subject"] == "a book"
    assert [each["outcome"] for each in view["attempts"]] == ["failed"]
    assert [each["type"] for each in notices] == ["delivery.dead"]
    assert [(each["id"], each["state"]) for each in shown["deliveries"]] == [
        (letter["delivery"]["id"], "dead"),
        (successor["id"], "dead"),
    ]
