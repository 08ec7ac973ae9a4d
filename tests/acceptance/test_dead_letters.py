"""What could not be delivered, and what is taken back before it is."""

import urllib.request
from collections.abc import Iterator

import pytest

from user_commands import Relay, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with an echo agent, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    user.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    user.up()
    until("the echo agent", lambda: "echo-home-echo" in user("agents").out)
    yield user
    user.end()


def url_of(relay: Relay) -> str:
    return str(relay("status", "--json").worked().json["hub"]["url"])


def bury(relay: Relay, agent: str, *texts: str) -> list[int]:
    """Let messages die: their recipient is removed, and then comes back."""
    url = url_of(relay)
    relay.register(agent, url)
    for text in texts:
        relay("send", agent, text).worked()
    token = (relay.data / "token").read_text().strip()
    request = urllib.request.Request(  # noqa: S310 - our own hub
        f"{url}/api/agents/{agent}",
        method="DELETE",
        headers={"Authorization": f"Bearer {token}"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - same
    relay.register(agent, url)
    dead = relay("dead", "list", "--agent", agent, "--json").worked().json["dead"]
    return [one["delivery"]["id"] for one in dead]


def test_dead_letters_are_listed_newest_first_and_in_pieces(served: Relay):
    numbers = bury(served, "lister", "first\x1b[2J", "second", "third")

    told = served("dead", "list", "--agent", "lister", "--limit", "2").worked().out.splitlines()
    rest = served("dead", "list", "--agent", "lister", "--before", str(numbers[1])).worked().out

    assert len(numbers) == 3
    assert ["third" in told[1], "second" in told[2]] == [True, True]
    assert "recipient_removed" in told[1]
    assert told[-1] == f"and more: `agent-relay dead list --agent lister --before {numbers[1]}`"
    assert "first⟦U+001B⟧[2J" in rest
    assert "third" in served("dead").worked().out
    assert "nobody" in served("dead", "list", "--agent", "nobody").failed(1)


def test_a_dead_letter_is_shown_with_all_that_is_known(served: Relay):
    (number,) = bury(served, "shown", "line one\nline two")

    view = served("dead", "show", str(number), "--json").worked().json
    told = served("dead", "show", str(number)).worked().out

    assert set(view) >= {"delivery", "message", "attempts", "transitions"}
    assert view["message"]["body"] == "line one\nline two"
    assert "  line one\n  line two\n" in told
    assert "it was never tried" in told
    assert "recipient_removed" in told
    assert "999999" in served("dead", "show", "999999").failed(1)


def test_a_dead_letter_is_tried_again_once(served: Relay):
    number, other = bury(served, "retried", "x", "y")

    done = served("dead", "retry", str(number), "--json").worked().json
    more = served("dead", "retry", str(number), str(other), "999999", "--json")
    line = served("dead", "retry", str(number)).failed(1)

    (again,) = done["retried"]
    assert (again["agentId"], again["state"]) == ("retried", "queued")
    assert again["id"] != number
    view = served("dead", "show", str(number)).worked().out
    assert f"as delivery {again['id']}" in view
    assert "took the place" in line
    assert more.code == 1
    assert len(more.json["retried"]) == 1
    assert [(one["deliveryId"], one["code"]) for one in more.json["refused"]] == [
        (number, "already_retried"), (999999, "unknown_dead_letter"),
    ]  # fmt: skip
    assert served("dead", "list", "--agent", "retried", "--json").json["dead"] == []


def test_dead_letters_are_dropped_one_by_one_or_all(served: Relay):
    numbers = bury(served, "dropped", "x", "y", "z")

    one = served("dead", "drop", str(numbers[0]), "--json").worked().json["dropped"]
    rest = served("dead", "drop", "--all", "--agent", "dropped").worked().out

    assert [each["delivery"]["id"] for each in one] == numbers[:1]
    assert rest == "dropped 2\n"
    assert "no dead letters" in served("dead", "list", "--agent", "dropped").worked().out
    none = served("dead", "retry", "--all", "--agent", "dropped", "--json").worked().json
    assert none == {"retried": [], "refused": []}
    assert served("dead", "--agent", "dropped").worked().out == "no dead letters\n"


def test_a_message_that_waits_can_be_taken_back(served: Relay):
    served.register("slow", url_of(served))
    number = str(served("send", "slow", "x", "--json").worked().json["id"])

    told = served("cancel", number).worked().out
    again = served("cancel", number, "--json").worked().json

    assert "cancelled" in told
    (delivery,) = again["deliveries"]
    assert (delivery["agentId"], delivery["state"], delivery["result"]) == (
        "slow", "cancelled", "over",
    )  # fmt: skip
    assert served("show", number, "--json").json["deliveries"][0]["state"] == "cancelled"


def test_a_message_that_has_arrived_cannot_be_taken_back(served: Relay):
    sent = served("send", "echo", "x", "--wait", "30", "--json").worked().json

    line = served("cancel", str(sent["id"])).failed(1)

    assert "echo-home-echo delivered" in line
    assert "999999" in served("cancel", "999999").failed(1)


def test_where_some_have_it_the_others_do_not_get_it_and_that_is_said(served: Relay):
    served.register("away", url_of(served), capabilities=["chat"])
    sent = served("send", "cap:chat", "x", "--json").worked().json
    states = lambda: {  # noqa: E731 - asked again and again
        one["agentId"]: one["state"]
        for one in served("show", str(sent["id"]), "--json").json["deliveries"]
    }
    until("its arrival", lambda: states()["echo-home-echo"] == "delivered")

    done = served("cancel", str(sent["id"]))

    assert done.code == 1
    assert "cancelled" in done.out
    assert states() == {"echo-home-echo": "delivered", "away": "cancelled"}
