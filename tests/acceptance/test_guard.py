"""What the guard against loops has stopped, as a person sees it and lets it go on."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from relay_core.errors import HubRefused
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, MessageId
from user_commands import Relay


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with two agents, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    url = user.up()["url"]
    for name in ("ann", "ben"):
        user.register(name, url)
    yield user
    user.end()


def go_round(relay: Relay) -> int:
    """Let the two answer each other until they are stopped; the conversation's number."""

    url = relay("status", "--json").worked().json["hub"]["url"]

    async def talk() -> int:
        async with HubClient(url, (relay.data / "token").read_text().strip()) as hub:
            sent: list[MessageId] = []
            with suppress(HubRefused):
                for number in range(20):
                    names = ("ann", "ben")[:: 1 if number % 2 else -1]
                    speaker, to = map(AgentId, names)
                    reply_to = sent[-1] if sent else None
                    request = SendRequest(to=to, body="and you?", from_=speaker, reply_to=reply_to)
                    sent.append((await hub.as_agent(speaker).send(request)).id)
            return sent[0]

    return asyncio.run(talk())


def test_what_is_stopped_is_listed_told_once_and_let_go_on(served: Relay):
    assert served("guard").worked().out == "nothing is stopped\n"
    number = go_round(served)

    listed = served("guard").worked().out
    (guard,) = served("guard", "list", "--json").worked().json["guards"]
    mail = served("inbox", "operator", "--json").worked().json["messages"]
    assert f"conversation {number}" in listed
    assert "answers in a row" in listed
    assert (guard["kind"], guard["subject"], guard["refused"]) == ("conversation", str(number), 1)
    (notice,) = [each for each in mail if each["type"] == "guard.stopped"]
    assert f"agent-relay guard reset {number}" in notice["body"]

    told = served("guard", "reset", str(number)).worked().out
    assert told == f"conversation {number} may go on\n"
    assert served("guard", "--json").worked().json == {"guards": []}
    assert "has not stopped" in served("guard", "reset", str(number)).failed(1)


def test_everything_is_let_go_on_at_once(served: Relay):
    numbers = {str(go_round(served)) for _ in range(2)}

    done = served("guard", "reset", "--all", "--json").worked().json["reset"]

    assert {each["subject"] for each in done} == numbers
    assert served("guard", "reset", "--all").worked().out == "nothing is stopped\n"


@pytest.mark.parametrize("words", [(), ("1", "--all")])
def test_what_may_go_on_must_be_said(served: Relay, words: tuple[str, ...]):
    assert "--all" in served("guard", "reset", *words).failed(2)


def test_a_confirmation_is_sent_as_one(served: Relay):
    sent = served("send", "ben", "thanks", "--ack", "--json").worked().json

    assert served("show", str(sent["id"]), "--json").worked().json["type"] == "ack"
    assert "neither work nor urgent" in served("send", "ben", "x", "--ack", "--urgent").failed(1)
