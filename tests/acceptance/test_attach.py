"""A real Codex session becomes an agent, stays one, and stops being one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from user_commands import Relay

pytestmark = pytest.mark.codex


@pytest.fixture
async def thread(codex_server: Any, workplace: Any) -> AsyncIterator[str]:
    """A thread that somebody has open."""
    async with codex_server.client() as user:
        yield await user.start_thread(workplace.cwd)


async def test_an_attached_thread_gets_a_message_as_a_turn(
    relay: Relay, codex_server: Any, stub_model: Any, thread: str
):
    await _in_thread(relay.up)
    attached = await _in_thread(_attach, relay, codex_server, thread)
    assert [one["threadId"] for one in attached] == [thread]
    agent = attached[0]["agentId"]

    (row,) = (await _in_thread(relay.codex, "status", "--json")).worked().json["sessions"]
    assert (row["agentId"], row["threadId"]) == (agent, thread)
    sent = await _in_thread(relay, "send", agent, "mark-4711", "--wait", "60", "--json")

    number = str(sent.worked().json["id"])
    shown = (await _in_thread(relay, "show", number, "--json")).worked().json
    (delivery,) = shown["deliveries"]
    async with codex_server.client() as second:
        items = await second.user_items(thread)
    assert delivery["state"] == "delivered"
    assert [item.turn_id for item in items if "mark-4711" in item.text] == [delivery["turnId"]]
    assert set(stub_model.counts("mark-4711")) == {1}


async def test_an_attached_session_is_there_again_after_a_kill(
    relay: Relay, codex_server: Any, thread: str
):
    report = await _in_thread(relay.up)
    (attached,) = await _in_thread(_attach, relay, codex_server, thread)
    os.kill(report["pid"], signal.SIGKILL)
    await _in_thread(relay.started[0].communicate, None, 30)
    await _in_thread(relay.up)

    sent = await _in_thread(
        relay, "send", attached["agentId"], "after the crash", "--wait", "60", "--json"
    )

    assert [one["state"] for one in sent.worked().json["deliveries"]] == ["delivered"]


async def test_a_detached_session_goes_on_and_its_mail_waits(
    relay: Relay, codex_server: Any, thread: str
):
    await _in_thread(relay.up)
    (attached,) = await _in_thread(_attach, relay, codex_server, thread)
    agent = attached["agentId"]

    gone = (await _in_thread(relay.codex, "detach", agent, "--json")).worked().json["attached"]
    again = await _in_thread(relay.codex, "detach", agent)
    sent = (await _in_thread(relay, "send", agent, "for later", "--json")).worked().json

    assert [one["threadId"] for one in gone] == [thread]
    assert agent in again.failed(1)
    assert sent["deliveries"][0]["state"] == "queued"
    async with codex_server.client() as codex:
        assert (await codex.read(thread)).id == thread


async def test_an_app_server_that_is_not_there_is_one_line(relay: Relay, short_path: Path):
    await _in_thread(relay.up)

    done = await _in_thread(relay.codex, "attach", "--app-server", f"unix://{short_path}/none")

    assert str(short_path) in done.failed(1)


async def test_a_thread_that_is_not_there_is_one_line(relay: Relay, codex_server: Any):
    await _in_thread(relay.up)
    wrong = "01a20238-0000-79d2-ad22-fc94608eaedc"

    done = await _in_thread(
        relay.codex, "attach", "--app-server", codex_server.address, "--thread", wrong
    )

    assert wrong in done.failed(1)


def _attach(relay: Relay, codex_server: Any, thread: str) -> list[dict[str, str]]:
    done = relay.codex("attach", "--app-server", codex_server.address, "--thread", thread, "--json")
    return done.worked().json["attached"]


async def _in_thread(work: Any, *arguments: Any) -> Any:
    """Type a command without keeping this loop, and the client on it, from running."""
    return await asyncio.to_thread(work, *arguments)
