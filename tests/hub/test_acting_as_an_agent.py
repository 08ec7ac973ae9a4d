"""Acting with one agent's rights, over the wire and in the same loop alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub_kit import as_body, served_hub
from relay_core.acting import AgentHub
from relay_core.errors import HubRefused
from relay_core.hub_api import PairAnswer, PairRequest, RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, Credential, MessageId
from relay_hub.limits import Limits
from relay_hub.local import LocalHub

ADA = AgentId("ada")


@pytest.fixture(params=["over the wire", "in the same loop"])
async def ada(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AgentHub]:
    async with (
        served_hub(tmp_path, Limits(sends_per_minute=3)) as hub,
        HubClient(hub.url, hub.token) as user,
    ):
        for name in ("ada", "bob"):
            await user.register(as_body(RegisterRequest, {"id": name, "instanceId": "1"}))
        await user.send(SendRequest(to="ada", body="for ada"))
        await user.send(SendRequest(to="bob", body="for bob"))
        if request.param == "over the wire":
            yield user.as_agent(ADA)
        else:
            yield LocalHub(hub.server.service).as_agent(ADA)


def to_bob(body: str = "hello", **fields: object) -> SendRequest:
    return as_body(SendRequest, {"to": "bob", "body": body, "from": "ada", **fields})


async def test_what_it_sends_is_the_agents_and_not_the_users(ada: AgentHub):
    sent = await ada.send(to_bob())
    message = await ada.message(sent.id)

    assert (message.from_, message.sender.credential) == ("ada", Credential.AGENT)


async def test_the_agents_limits_hold(ada: AgentHub):
    for _ in range(3):
        await ada.send(to_bob())
    with pytest.raises(HubRefused) as refused:
        await ada.send(to_bob())

    assert refused.value.code == "rate_limited"


async def test_it_speaks_for_nobody_else_and_reads_nobody_elses_mail(ada: AgentHub):
    with pytest.raises(HubRefused, match="ada only"):
        await ada.send(to_bob(**{"from": "bob"}))
    with pytest.raises(HubRefused, match="ada only"):
        await ada.newest("bob")
    with pytest.raises(HubRefused, match="no message"):
        await ada.message(MessageId(2))

    assert [message.body for message in await ada.newest("ada")] == ["for ada"]


async def test_a_send_under_one_name_is_one_send(ada: AgentHub):
    sent = [await ada.send(to_bob(), idempotency_key="tool-1") for _ in range(2)]
    with pytest.raises(HubRefused) as refused:
        await ada.send(to_bob("another"), idempotency_key="tool-1")

    assert sent[0] == sent[1]
    assert refused.value.code == "idempotency_mismatch"


async def test_an_invitation_under_one_name_is_one_invitation(ada: AgentHub):
    request = as_body(PairRequest, {"target": "bob", "from": "ada"})
    pairs = [await ada.invite(request, idempotency_key="tool-2") for _ in range(2)]
    ended = await ada.hang_up(pairs[0].id, PairAnswer(agent_id=ADA))

    assert pairs[0] == pairs[1]
    assert (ended.state, await ada.pairs("ada")) == ("ended", (ended,))


async def test_whoever_names_no_agent_is_refused(ada: AgentHub, tmp_path: Path):
    async with served_hub(tmp_path / "second") as hub:
        async with HubClient(hub.url, hub.token) as user:
            with pytest.raises(HubRefused) as refused:
                await user.as_agent(AgentId("tag:x")).agents()
            await user.register(as_body(RegisterRequest, {"id": "bob", "instanceId": "1"}))
            token = await user.new_agent_token("bob")
        async with HubClient(hub.url, token) as bob:
            assert await bob.as_agent(AgentId("bob")).agents()
            with pytest.raises(HubRefused) as foreign:
                await bob.as_agent(ADA).agents()

    assert refused.value.code == "bad_agent_id"
    assert foreign.value.code == "foreign_agent"
