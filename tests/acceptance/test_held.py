"""What is held back, and what its user decides about it, as typed."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from user_commands import Relay


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub, one for this file; no host serves the agents, so that nothing moves."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    user.up()
    yield user
    user.end()


def url_of(relay: Relay) -> str:
    return str(relay("status", "--json").worked().json["hub"]["url"])


def hold(
    relay: Relay, agent: str, *texts: str, reason: str = "needs_yes", **more: Any
) -> list[int]:
    """Let an agent hold what is sent to it."""
    url = url_of(relay)
    relay.register(agent, url)
    numbers: list[int] = []
    for text in texts:
        sent = relay("send", agent, text, "--json").worked().json
        numbers += [each["id"] for each in sent["deliveries"]]
        verdict = {"state": "held", "reason": reason, **more}
        relay.post(f"/api/deliveries/{numbers[-1]}/verdict", url, verdict)
    return numbers


def text_for(relay: Relay, agent: str) -> list[str]:
    token = (relay.data / "token").read_text().strip()
    request = urllib.request.Request(  # noqa: S310 - our own hub
        f"{url_of(relay)}/api/messages?for={agent}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - same
        return [each["body"] for each in json.loads(answer.read())]


def test_what_is_held_is_listed_newest_first_and_in_pieces(served: Relay):
    numbers = hold(served, "lister", "first\x1b[2J", "second", "third")

    told = served("held", "--agent", "lister", "--limit", "2").worked().out.splitlines()
    rest = served("held", "list", "--agent", "lister", "--before", str(numbers[1])).worked().out
    found = served("held", "--agent", "lister", "--json").worked().json

    assert told[0].split() == ["DELIVERY", "FROM", "FOR", "REASON", "TEXT", "SINCE", "UNTIL"]
    assert ["third" in told[1], "second" in told[2]] == [True, True]
    assert "needs_yes" in told[1]
    assert told[1].endswith("released")
    assert told[-1] == f"and more: `agent-relay held list --agent lister --before {numbers[1]}`"
    assert "first⟦U+001B⟧[2J" in rest
    assert [each["delivery"]["id"] for each in found["held"]] == numbers[::-1]
    assert found["needsYes"] >= 3
    assert "nobody" in served("held", "--agent", "nobody").failed(1)


def test_the_status_says_how_many_wait_for_a_yes_and_what_shows_them(served: Relay):
    hold(served, "counted", "x")

    number = served("status", "--json").json["hub"]["needsYes"]

    assert number >= 1
    assert f"{number} deliver" in served("status").out
    assert "`agent-relay held`" in served("status").out


def test_a_held_delivery_is_edited_shown_and_then_approved(served: Relay):
    (number,) = hold(served, "edited", "line one\nline two")

    told = served("held", "edit", str(number), "another text").worked().out
    shown = served("held", "show", str(number)).worked().out
    listed = served("held", "--agent", "edited").worked().out
    approved = served("held", "approve", str(number), "--json").worked().json["approved"]

    assert told == f"edited; let it through with `agent-relay held approve {number}`\n"
    assert "  line one\n  line two\n" in shown
    assert "edited: edited gets this instead" in shown
    assert "  another text\n" in shown
    assert "needs_yes (edited)" in listed
    assert [(one["id"], one["state"], one["reason"]) for one in approved] == [
        (number, "queued", "approved")
    ]
    message = str(approved[0]["messageId"])
    view = served("show", message).worked().out
    assert "queued (edited)" in view
    assert "line one" in view
    assert text_for(served, "edited") == ["another text"]
    assert "not held" in served("held", "show", str(number)).failed(1)
    assert "not held" in served("held", "edit", str(number), "too late").failed(1)


def test_a_text_from_standard_input_is_edited_and_approved_at_once(served: Relay):
    (number,) = hold(served, "piped", "x")

    done = served("held", "edit", str(number), "-", "--approve", "--json", stdin="from a file\n")

    view = done.worked().json
    assert (view["editedBody"], view["delivery"]["state"]) == ("from a file\n", "queued")
    assert text_for(served, "piped") == ["from a file\n"]


def test_all_that_waits_for_a_yes_is_approved_and_nothing_else(served: Relay):
    first, second = hold(served, "approved", "x", "y")
    (later,) = hold(served, "approved", "z", reason="quiet", until=2_000_000_000_000)

    done = served("held", "approve", "--all", "--agent", "approved", "--json").worked().json
    again = served("held", "approve", str(first), str(later), "--json")

    assert [each["id"] for each in done["approved"]] == [first, second]
    assert again.code == 1
    assert [each["id"] for each in again.json["approved"]] == [later]
    assert [(each["deliveryId"], each["code"]) for each in again.json["refused"]] == [
        (first, "not_held")
    ]
    empty = served("held", "approve", "--all", "--agent", "approved").worked().out
    assert empty == "nothing waits for a yes\n"


def test_what_is_dropped_tells_its_sender_why(served: Relay):
    numbers = hold(served, "dropped", "x", "y")

    one = served("held", "drop", str(numbers[0]), "--json").worked().json["dropped"]
    other = served("held", "drop", str(numbers[1]), "--reason", "off_topic").worked().out

    assert [(each["state"], each["reason"]) for each in one] == [("skipped", "dropped")]
    assert other == "dropped 1\n"
    assert "off_topic" in served("show", str(one[0]["messageId"] + 1)).worked().out
    assert served("held", "--agent", "dropped").worked().out == "nothing is held\n"
    assert "no reason" in served("held", "drop", "1", "--reason", "two words").failed(1)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("held", "approve"), "say which ones"),
        (("held", "approve", "1", "--all"), "say which ones"),
        (("held", "approve", "1", "--agent", "x"), "--agent goes with --all"),
        (("held", "drop"), "Missing argument"),
        (("held", "edit", "1", "  "), "the message is empty"),
        (("held", "show", "x"), "no message number"),
    ],
)
def test_a_mistake_in_the_words_is_told(served: Relay, typed: tuple[str, ...], told: str):
    assert told in served(*typed).failed(2)


def test_an_agents_token_may_not_approve(served: Relay):
    (number,) = hold(served, "refused", "x")
    token = served("token", "new", "refused", "--json").worked().json["token"]

    answer = served("held", "approve", str(number), environ={"AGENT_RELAY_TOKEN": token})

    assert "user token" in answer.failed(1)


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "1"), ("approve", "1"), ("approve", "--all"), ("edit", "1", "x"),
     ("drop", "1")],
    ids=" ".join,
)  # fmt: skip
def test_in_a_sessions_shell_nobody_looks_at_held_mail_or_decides_about_it(
    served: Relay, words: tuple[str, ...]
):
    (number,) = hold(served, "inside", "x")
    typed = [str(number) if word == "1" else word for word in words]

    told = served("held", *typed, environ={"CODEX_THREAD_ID": "any-thread"}).failed(1)

    assert "type it in a shell of your own" in told
    assert "needs_yes" in served("held", "--agent", "inside").worked().out
    assert "Examples" in served("held", "--help", environ={"CODEX_THREAD_ID": "t"}).worked().out
