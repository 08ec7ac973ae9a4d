"""A question to a real session outlives the processes that carry it."""

import asyncio
import threading
from functools import partial
from pathlib import Path

from real_codex import Workplace
from relay_core.asking import ask
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_plugins.codex.testing import CodexServer, Say, StubModel, Until
from relay_rig import PATIENCE_S, Rig


async def hub_is_back(rig: Rig) -> bool:
    """Whether the hub answers again; its port may be somebody's for a moment meanwhile."""
    if rig.hub.died():
        rig.hub.start()
    return await rig.hub_answers()


async def test_a_question_outlives_hub_and_host(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
):
    gate = threading.Event()
    stub_model.enqueue(Until(gate, "the answer after all"))
    rig = Rig(short_path, workplace, codex_server, stub_model)
    async with rig, HubClient(rig.url, rig.host.environ["AGENT_RELAY_TOKEN"]) as hub:
        request = SendRequest(to=rig.agent, body="will you outlive this?")
        asking = asyncio.create_task(ask(hub, request, wait_s=PATIENCE_S))
        await stub_model.requests_reach(1)
        await rig.becomes(1, "delivered")
        rig.host.kill()
        rig.hub.kill()
        # A host that finds nobody at the hub's address would be the hub there itself.
        await rig.until(partial(hub_is_back, rig), "the hub answers again", rig.hub)
        rig.host.start()
        await rig.until(rig.connected, "the host serves the session again", rig.host)
        gate.set()
        asked = await asking

        # Several at once: each gets a turn of its own, and its own answer.
        stub_model.enqueue(*(Say(f"answer {number}") for number in range(3)))
        several = [
            ask(hub, SendRequest(to=rig.agent, body=f"question {number}"), wait_s=PATIENCE_S)
            for number in range(3)
        ]
        told = await asyncio.gather(*several)

    assert all(each.complete for each in told), told
    assert sorted(each.answers[0].text or "" for each in told) == [
        "answer 0",
        "answer 1",
        "answer 2",
    ]
    assert asked.complete
    assert [each.text for each in asked.answers] == ["the answer after all"]
