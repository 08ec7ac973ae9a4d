"""Two agents that pair, talk and part, by the commands and by their slash forms."""

from collections.abc import Iterator
from typing import Any

import pytest

from user_commands import Relay

THREADS = {"ann": "thread-of-ann", "ben": "thread-of-ben"}
ANN, BEN = ({"CODEX_THREAD_ID": thread} for thread in THREADS.values())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with two sessions' agents and a third one, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    url = user.up()["url"]
    for name, thread in THREADS.items():
        user.register(name, url, label=f"label of {name}", meta={"threadId": thread})
    user.register("third", url)
    yield user
    user.end()


@pytest.fixture
def pair(served: Relay) -> Iterator[str]:
    """A pair that Ann has invited Ben to."""
    made = served("/pair", "ben", "Debug the flaky tests", "--json", environ=ANN).worked().json
    yield made["id"]
    served("pair", "hangup", made["id"])


def bodies(relay: Relay, agent: str) -> list[dict[str, Any]]:
    return relay("inbox", agent, "--json").worked().json["messages"]


def test_two_sessions_pair_talk_and_part_by_the_slash_forms(served: Relay):
    invited = served("/pair", "label:label of ben", "Debug the flaky tests", environ=ANN).worked()
    assert "state      pending\n" in invited.out
    (found,) = served("/pair", "status", "--json", environ=BEN).worked().json["pairs"]
    assert (found["inviter"], found["invitee"], found["state"]) == ("ann", "ben", "pending")
    assert found["objective"] == "Debug the flaky tests"
    assert found["id"] in bodies(served, "ben")[-1]["body"]

    accepted = served("/pair", "accept", environ=BEN).worked()
    assert "state      active\n" in accepted.out
    sent = served("/pair", "send", found["id"], "What do you see?", "--json", environ=ANN)
    back = served("/pair", "send", found["id"], "-", environ=BEN, stdin="A race.\n").worked()

    assert [one["agentId"] for one in sent.worked().json["deliveries"]] == ["ben"]
    last = bodies(served, "ben")[-1]
    assert (last["from"], last["body"], last["pairId"]) == ("ann", "What do you see?", found["id"])
    assert "to ann" in back.out
    assert bodies(served, "ann")[-1]["body"] == "A race.\n"
    state = served("/status", "--json", environ=BEN).worked().json
    assert (state["agent"]["id"], state["pair"]["id"]) == ("ben", found["id"])
    assert f"{found['id']} with ann (active)" in served("/status", environ=BEN).worked().out

    ended = served("/disconnect", "--json", environ=BEN).worked().json
    assert (ended["state"], ended["reason"], ended["endedBy"]) == ("ended", "hung_up", "ben")
    assert "no pair" in served("/disconnect", environ=BEN).failed(1)
    assert served("/pair", "status", "--json", environ=ANN).worked().json["pairs"] == []
    assert "has ended" in served("pair", "send", found["id"], "x", environ=ANN).failed(1)


def test_an_agent_is_in_one_pair_at_a_time(served: Relay, pair: str):
    for words in (("third",), ("ann", "again")):
        line = served("pair", *words, "--as", "ben").failed(1)
        assert f"agent-relay pair hangup {pair}" in line


def test_who_did_not_get_the_invitation_cannot_answer_it(served: Relay, pair: str):
    assert "ben" in served("pair", "accept", pair, environ=ANN).failed(1)
    assert "third" in served("pair", "accept", pair, "--as", "third").failed(1)
    assert "not accepted" in served("pair", "send", pair, "x", environ=ANN).failed(1)


def test_an_invitation_can_be_rejected_and_taken_back(served: Relay, pair: str):
    rejected = served("pair", "reject", environ=BEN).worked()
    assert "state      ended (rejected)\n" in rejected.out
    again = served("pair", "ben", environ=ANN).worked().out
    assert "objective" not in again
    assert "withdrawn" in served("disconnect", "--as", "ann").worked().out


def test_the_person_at_the_keyboard_answers_for_who_was_invited(served: Relay, pair: str):
    accepted = served("pair", "accept", pair, "--json").worked().json
    line = served("pair", "send", pair, "x").failed(2)
    ended = served("pair", "hangup", pair, "--json").worked().json

    assert accepted["state"] == "active"
    assert "--as" in line
    assert ended["endedBy"] == "operator"


def test_pairs_are_listed_in_pieces(served: Relay):
    made: list[str] = []
    for _ in range(3):
        made.insert(0, served("pair", "third", "--as", "ann", "--json").worked().json["id"])
        served("pair", "hangup", made[0]).worked()

    told = served("pair", "status", "--all", "--limit", "2", "--as", "third").worked().out
    listed = served("pair", "status", "--all", "--as", "third", "--json").worked().json
    rest = served("pair", "status", "--all", "--as", "third", "--before", made[1], "--json")

    assert f"agent-relay pair status --all --as third --before {made[1]}`" in told
    assert [one["id"] for one in listed["pairs"]] == made
    assert listed["more"] is False
    assert [one["id"] for one in rest.worked().json["pairs"]] == made[2:]
    (one,) = served("pair", "status", made[2], "--json").worked().json["pairs"]
    assert one["reason"] == "withdrawn"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody",), "nobody"),
        (("ann",), "itself"),
        (("broadcast",), "one"),
        (("status", "pair-none"), "pair-none"),
        (("accept", "pair-none"), "pair-none"),
        (("accept",), "no pair"),
        (("hangup",), "no pair"),
    ],
)
def test_what_cannot_be_is_one_line(served: Relay, words: tuple[str, ...], told: str):
    assert told in served("pair", *words, environ=ANN).failed(1)


def test_an_agent_that_is_called_like_a_command_can_be_invited(served: Relay):
    served.register("status", served("status", "--json").json["hub"]["url"])

    made = served("pair", "invite", "status", "--as", "third", "--json").worked().json

    assert made["invitee"] == "status"
    served("disconnect", "--as", "status").worked()
