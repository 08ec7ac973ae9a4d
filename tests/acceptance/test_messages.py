"""Sending, looking, and what is printed of other people's words."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from user_commands import Relay, until

AGENT_KEYS = {
    "id", "label", "tags", "capabilities", "channels", "approval", "status", "ready", "reachable",
    "unattended", "threadId", "adapter", "lastUserTurnMs",
}  # fmt: skip
DELIVERY_KEYS = {"id", "agentId", "state", "reason", "attempts", "turnId", "turnStatus"}
DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
ATTACKS = (
    "\x1b[2J\x1b[Hall is well",
    "\x1b]52;c;Y2FuYXJ5\x07",
    "\x9b31m",
    "\rall is well",
    "a\x08b\x7f",
    "\u202egnp.exe",
    "zero\u200bwidth\ufeff",
    "\U000e0041\U000e0042",
    "a\u2028b\u2029c",
    '"quotes" \\ and {braces}',
    "✓ ünïcödé 🚀",
    "$(id) `id` ; rm -rf x",
    "%s %n {0} {}",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub, one for this file, where `builder` is registered and no host serves it."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    report = user.up()
    user.register("builder", report["url"], label="Builder", tags=["build"])
    yield user
    user.end()


def test_a_message_that_waits_is_stored_and_says_so(served: Relay):
    sent = served("send", "builder", "hello", "--json").worked().json

    assert set(sent) == {"id", "deliveries"}
    (delivery,) = sent["deliveries"]
    assert set(delivery) == {"id", "agentId", "state", "away"}
    assert (delivery["agentId"], delivery["state"]) == ("builder", "queued")


def test_a_recipient_that_is_away_is_named(relay: Relay):
    relay.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    relay.up()
    until("the echo agent", lambda: "echo" in [one["label"] for one in _agents(relay)])
    relay("down").worked()
    relay.write_config("")
    relay.up()

    sent = relay("send", "echo", "are you there?")

    assert "away: it waits at the hub" in sent.worked().out


def test_everything_that_is_sent_can_be_shown(served: Relay):
    first = served("send", "builder", "first", "--json").worked().json
    sent = served(
        "send", "label:Builder", "-", "--subject", "a subject", "--channel", "ops",
        "--reply-to", str(first["id"]), "--claimable", "--urgent", "--json",
        stdin="line one\n\nline three ✓",
    ).worked().json  # fmt: skip

    shown = served("show", str(sent["id"]), "--json").worked().json

    assert shown["body"] == "line one\n\nline three ✓"
    assert shown["from"] == "operator"
    assert shown["subject"] == "a subject"
    assert shown["channel"] == "ops"
    assert shown["replyTo"] == first["id"]
    assert shown["claimable"]
    assert shown["urgent"]
    assert set(shown["deliveries"][0]) >= DELIVERY_KEYS
    text = served("show", str(sent["id"])).worked().out
    assert "  line one\n\n  line three ✓\n" in text.replace("  \n", "\n")
    assert re.search(r"^marked +urgent, claimable$", text, re.MULTILINE)


def test_agents_and_inbox_have_the_promised_shapes(served: Relay):
    served("send", "builder", "for the inbox").worked()

    agent = next(one for one in _agents(served) if one["id"] == "builder")
    assert set(agent) >= AGENT_KEYS
    assert (agent["label"], agent["tags"]) == ("Builder", ["build"])

    message = served("inbox", "builder", "--json").worked().json["messages"][-1]
    assert message["body"] == "for the inbox"
    assert served("inbox", "builder", "--since", str(message["id"]), "--json").json == {
        "messages": [],
        "more": False,
    }
    assert "for the inbox" in served("inbox", "builder").worked().out


def test_a_long_inbox_shows_its_newest_and_every_one_when_asked(served: Relay):
    url = served("status", "--json").worked().json["hub"]["url"]
    served.register("reader", url)
    for number in range(105):
        served.post("/api/messages", url, {"to": "reader", "body": f"body {number}"})
    numbers = [f"body {number}" for number in range(105)]

    def bodies(*options: str) -> tuple[list[str], bool]:
        shown = served("inbox", "reader", *options, "--json").worked().json
        return [one["body"] for one in shown["messages"]], shown["more"]

    assert bodies() == (numbers[-100:], True)
    assert bodies("--all") == (numbers, False)
    third = served("inbox", "reader", "--all", "--json").json["messages"][2]["id"]
    assert bodies("--since", str(third)) == (numbers[3:], False)
    assert bodies("--limit", "3") == (numbers[-3:], True)
    assert bodies("--limit", "3", "--before", str(third)) == (numbers[:2], False)
    assert bodies("--limit", "104") == (numbers[-104:], True)
    told = served("inbox", "reader").worked().out.splitlines()
    assert "body 104" in told[-2]
    rest = told[-1].partition("`agent-relay ")[2].rstrip("`").split()
    assert bodies(*rest[2:]) == (numbers[:5], False)
    assert "and more" not in served("inbox", "reader", "--all").worked().out


def test_a_message_that_starts_with_a_dash_or_an_at_is_sent_as_it_is(served: Relay):
    for body in ("-rf everything", "--json", "@/etc/passwd"):
        sent = served("send", "--json", "builder", "--", body).worked().json
        assert served("show", str(sent["id"]), "--json").worked().json["body"] == body


def test_waiting_for_an_away_agent_ends_with_5_and_keeps_the_message(served: Relay):
    line = served("send", "builder", "hello", "--wait", "0.5").failed(5)

    number = re.search(r"message ([0-9]+) is stored", line)
    assert number is not None
    assert "builder queued" in line
    shown = served("show", number[1], "--json").worked().json
    assert shown["deliveries"][0]["state"] == "queued"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("send", "nobody", "x"), "nobody"),
        (("send", "tag:nothing", "x"), "nothing"),
        (("send", "builder", "x", "--reply-to", "999999"), "999999"),
        (("send", "builder", "x", "--subject", "y" * 5000), "subject"),
        (("show", "999999"), "999999"),
        (("inbox", "nobody"), "nobody"),
        (("token", "new", "nobody"), "nobody"),
    ],
)
def test_what_the_hub_refuses_is_one_line(served: Relay, arguments: tuple[str, ...], told: str):
    assert told in served(*arguments).failed(1)
    error = served(*arguments, "--json")
    assert error.code == 1
    assert set(error.json["error"]) == {"code", "detail", "fix"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("x" * (256 * 1024 + 1), "262145 bytes"),
        ('\n"' * 128 * 1024, "newlines, quotes and backslashes"),
        ("x" * 600_000, "600000 bytes"),
        ("x" * 30_000_000, "30000000 bytes"),
    ],
    ids=["body", "escaped", "request", "cut-off"],
)
def test_a_message_that_the_hub_finds_too_large_is_explained(served: Relay, body: str, told: str):
    line = served("send", "builder", "-", stdin=body).failed(1)

    assert told in line
    assert "write it to a file" in line
    assert len(line) < 300


def test_the_largest_message_is_sent_and_a_hub_may_allow_more(served: Relay, relay: Relay):
    served("send", "builder", "-", stdin="x" * 256 * 1024).worked()
    relay.write_config("[hub.limits]\nrequest_bytes = 4000000\nbody_bytes = 2000000\n")
    relay.register("builder", relay.up()["url"])

    sent = relay("send", "builder", "-", "--json", stdin="y" * 1_500_000).worked().json

    assert len(relay("show", str(sent["id"]), "--json").worked().json["body"]) == 1_500_000


def test_nothing_that_others_wrote_reaches_the_terminal_raw(served: Relay):
    body = "\n".join(ATTACKS)
    sent = served("send", "builder", "-", "--json", stdin=body).worked().json
    number = str(sent["id"])

    for look in (("show", number), ("inbox", "builder"), ("show", number, "--json")):
        assert not DANGEROUS.search(served(*look).worked().out), look
    assert served("show", number, "--json").json["body"] == body


@pytest.mark.parametrize("attack", ["\x1b[31mred", "\u202egnp.exe", "a\x9bb", "\U000e0041"])
def test_no_name_of_an_agent_reaches_the_terminal_raw(served: Relay, attack: str):
    url = served("status", "--json").worked().json["hub"]["url"]
    try:
        served.register("attacker", url, label=attack, tags=[attack])
    except HTTPError as refused:
        refused.close()

    for look in (("agents",), ("agents", "--json"), ("send", attack, "x")):
        done = served(*look)
        assert not DANGEROUS.search(done.out + done.err), look


def test_a_token_of_an_agent_sends_as_that_agent_only(served: Relay):
    token = served("token", "new", "builder", "--json").worked().json["token"]
    as_builder = {"AGENT_RELAY_TOKEN": token}
    url = served("status", "--json").json["hub"]["url"]

    served.register("other", url)

    sent = served("send", "other", "x", "--json", environ=as_builder).worked().json
    foreign = served("send", "other", "x", "--from", "operator", environ=as_builder)

    assert served("show", str(sent["id"]), "--json").json["from"] == "builder"
    assert "builder" in foreign.failed(1)


def test_the_user_token_is_shown_only_when_asked_for_twice(served: Relay):
    token = (served.data / "token").read_text().strip()

    for quiet in (("token",), ("token", "--json"), ("token", "show"), ("status", "--json"),
                  ("agents", "--json"), ("plugins", "--json")):  # fmt: skip
        done = served(*quiet)
        assert token not in done.out + done.err, quiet
    assert served("token", "show", "--reveal").worked().out.strip() == token


def test_an_echo_agent_gets_a_message_and_answers(relay: Relay):
    relay.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    relay.up()
    until("the echo agent", lambda: "echo" in [one["label"] for one in _agents(relay)])

    sent = relay("send", "echo", "hello, echo", "--wait", "30", "--json").worked().json

    assert [one["state"] for one in sent["deliveries"]] == ["delivered"]
    why = relay("show", str(sent["id"]), "--why", "--json").worked().json
    assert {one["hook"] for one in why["decisions"]} >= {"choose_delivery", "format_prompt"}
    assert all(set(one) >= {"hook", "plugin", "answer", "chosen"} for one in why["decisions"])
    assert why["toldBy"]["source"] == "host"
    assert "choose_delivery" in relay("show", str(sent["id"]), "--why").worked().out


def test_why_there_is_no_decision_to_show_is_said(relay: Relay):
    relay.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    url = relay.up()["url"]
    until("the echo agent", lambda: "echo" in [one["label"] for one in _agents(relay)])
    relay.register("elsewhere", url)
    away = relay("send", "elsewhere", "hello", "--json").worked().json
    sent = relay("send", "echo", "hello", "--wait", "30", "--json").worked().json
    relay("down").worked()
    (relay.data / "decisions.jsonl").unlink()
    relay.up()
    until("the echo agent again", lambda: relay("status", "--json").json["sessions"])

    assert relay("show", str(sent["id"]), "--why", "--json").worked().json["decisions"] == []
    assert "has started since" in relay("show", str(sent["id"]), "--why").worked().out
    assert "does not serve elsewhere" in relay("show", str(away["id"]), "--why").worked().out


def test_the_plugins_are_listed_with_and_without_a_host(relay: Relay):
    alone = relay("plugins", "--json").worked().json
    relay.up()
    asked = relay("plugins", "--json").worked().json

    assert alone == asked
    rows = {row["name"]: row for row in asked["plugins"]}
    assert {"relay.codex", "relay.delivery", "relay.prompt"} <= set(rows)
    assert set(rows["relay.codex"]) == {
        "name", "distribution", "version", "state", "reason", "hooks", "notes", "place",
    }  # fmt: skip
    assert rows["relay.codex"]["state"] == "loaded"


def _agents(relay: Relay) -> list[dict[str, Any]]:
    return json.loads(relay("agents", "--json").worked().out)["agents"]
