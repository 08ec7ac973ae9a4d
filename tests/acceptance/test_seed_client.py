"""A client that was written for the former hub works with ours, given the user's token."""

import ast
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub_kit import Served, served_hub
from relay_core.hub_api import RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, MessageId
from relay_hub.callers import USER

SCRIPT = Path(__file__).parent / "seed_client.py"
BOUND_S = 60


class Running:
    """One old client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def next(self, event: str) -> dict[str, Any]:
        """The next thing of this kind that it tells."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            while line := await self.process.stdout.readline():
                told = json.loads(line)
                if told["event"] == event:
                    return told
        raise AssertionError(f"it ended before it told of {event}")


@asynccontextmanager
async def old_client(hub: Served, name: str, token: str | None = None) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(SCRIPT),
        name,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "AGENT_RELAY_URL": hub.url,
            "AGENT_RELAY_TOKEN": hub.token if token is None else token,
        },
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def hub(tmp_path):
    async with served_hub(tmp_path) as served:
        yield served


@pytest.fixture
async def client(hub: Served):
    async with HubClient(hub.url, hub.token) as made:
        yield made


def test_the_old_client_knows_nothing_but_the_standard_library():
    tree = ast.parse(SCRIPT.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported <= set(sys.stdlib_module_names)


async def test_an_old_client_registers_polls_reads_and_replies(hub: Served, client: HubClient):
    async with old_client(hub, "seed.one") as old:
        registered = await old.next("registered")
        sent = await client.send(
            SendRequest(to="seed.one", body="reply", subject="why", channel="ops")
        )
        message = await old.next("message")
        replied = await old.next("replied")
        agent = await client.agent("seed.one")
        inbox = await client.inbox("operator")
        view = await client.message(sent.id)

    assert (registered["epoch"], registered["cursor"]) == (1, 0)
    assert message == {
        "event": "message",
        "id": sent.id,
        "sender": "operator",
        "to": "seed.one",
        "body": "reply",
        "subject": "why",
        "channel": "ops",
        "replyTo": None,
        "meta": {},
        "type": None,
        "createdAt": message["createdAt"],
    }
    assert (agent.label, agent.reachable, agent.thread_id) == ("seed", True, "0199-thread")
    assert [(each.state, each.reason) for each in view.deliveries] == [("delivered", "read")]
    assert [(each.id, each.body, each.reply_to) for each in inbox] == [
        (replied["id"], "done", sent.id)
    ]


async def test_of_two_old_clients_one_does_the_claimable_work(hub: Served, client: HubClient):
    async with old_client(hub, "seed.one") as one, old_client(hub, "seed.two") as two:
        await one.next("registered")
        await two.next("registered")
        sent = await client.send(SendRequest(to="tag:seeds", body="work", claimable=True))
        done, pending = await asyncio.wait(
            {asyncio.create_task(one.next("message")), asyncio.create_task(two.next("message"))},
            return_when=asyncio.FIRST_COMPLETED,
            timeout=BOUND_S,
        )
        for task in pending:
            task.cancel()
        view = await client.message(sent.id)
        holder = one if view.claimed_by == "seed.one" else two
        renewed = await holder.next("renewed")

    assert len(done) == 1
    states = sorted((each.state, each.reason) for each in view.deliveries)
    assert states == [("delivered", "read"), ("skipped", "claimed_by_other")]
    assert renewed == {"event": "renewed", "id": sent.id, "kept": True}


async def test_two_old_clients_pair_talk_and_hang_up(hub: Served, client: HubClient):
    async with old_client(hub, "seed.one") as one, old_client(hub, "seed.two") as two:
        await one.next("registered")
        await two.next("registered")
        await client.send(SendRequest(to="seed.one", body="pair with tag:seeds"))
        invited = await one.next("invited")
        invitation = await two.next("message")
        accepted = await two.next("accepted")
        told = await one.next("message")
        while told["type"] != "pair.accepted":
            told = await one.next("message")
        ping = await two.next("message")
        pong = await one.next("message")
        await one.next("hung-up")
        ended = await two.next("message")
        pair = await client.pair(invited["pair"])

    meta = {"pairId": pair.id}
    assert accepted["pair"] == pair.id
    assert invitation["meta"] | meta == invitation["meta"]
    assert "Debug flaky tests" in invitation["body"]
    assert [(each["sender"], each["type"], each["body"]) for each in (ping, pong)] == [
        ("seed.one", "pair.message", "ping"),
        ("seed.two", "pair.message", "pong"),
    ]
    assert ping["meta"] == pong["meta"] == meta
    assert (ended["type"], ended["meta"]["reason"]) == ("pair.ended", "hung_up")
    assert (pair.inviter, pair.invitee, pair.state) == ("seed.one", "seed.two", "ended")


async def test_a_second_instance_ends_the_first_old_client(hub: Served):
    async with old_client(hub, "seed.one") as first:
        await first.next("registered")
        async with old_client(hub, "seed.one") as second:
            registered = await second.next("registered")
            await first.next("stale")
            async with asyncio.timeout(BOUND_S):
                status = await first.process.wait()

    assert registered["epoch"] == 2
    assert status == 0


async def test_an_old_client_comes_back_after_it_was_deleted(hub: Served):
    async with old_client(hub, "seed.one") as old:
        await old.next("registered")
        await hub.server.service.agents.remove(AgentId("seed.one"), USER)
        again = await old.next("registered")

    assert again["epoch"] == 2


async def test_mail_of_a_registered_agent_waits_for_a_reader_that_comes_back(hub: Served, client):
    await client.register(RegisterRequest(id="seed.one", instance_id="x"))
    sent = await client.send(SendRequest(to="seed.one", body="waits"))
    async with old_client(hub, "seed.one") as old:
        await old.next("registered")
        offers = await hub.server.service.deliveries.offers(AgentId("seed.one"), USER)
        view = await hub.server.service.messages.one(MessageId(sent.id), USER)

    assert [each.message.body for each in offers.offers] == ["waits"]
    assert view.deliveries[0].state == "queued"


async def test_without_a_token_an_old_client_is_told_where_it_lies(hub: Served):
    async with old_client(hub, "seed.one", token="") as old:
        assert old.process.stderr is not None
        async with asyncio.timeout(BOUND_S):
            complaint = (await old.process.stderr.read()).decode()

    assert "401" in complaint
    assert str(hub.token_file) in complaint
