"""Following what happens: conversations, the live tail, and lists that are long."""

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from user_commands import PROGRAMS, Relay, until

LINE_LIMIT_S = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with an echo agent and one that no host serves, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    user.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    user.register("builder", user.up()["url"], tags=["build"])
    until("the echo agent", lambda: "echo-home-echo" in user("agents").out)
    yield user
    user.end()


def sent(relay: Relay, *arguments: str) -> int:
    return int(relay("send", *arguments, "--json").worked().json["id"])


def test_a_conversation_is_shown_from_any_of_its_messages(served: Relay):
    first = sent(served, "builder", "first line\nsecond line", "--subject", "a subject")
    second = sent(served, "builder", "more", "--reply-to", str(first))
    sent(served, "builder", "not of it")

    by_first, by_second = (
        served("thread", str(number), "--json").worked().json for number in (first, second)
    )
    text = served("thread", str(second)).worked().out

    assert by_first == by_second
    assert [one["id"] for one in by_first["messages"]] == [first, second]
    assert by_first["more"] == 0
    assert by_first["messages"][0]["deliveries"][0]["state"] == "queued"
    assert f"{second}  operator to builder, just now, answers {first}\n    more\n" in text
    assert "    subject: a subject\n    first line\n    second line\n" in text
    assert "(waits for its session: builder)" in text


def test_a_long_conversation_shows_its_newest_and_the_way_to_the_rest(served: Relay):
    first = sent(served, "builder", "body 0")
    numbers = [first]
    url = served("status", "--json").worked().json["hub"]["url"]
    for number in range(1, 104):
        body = {"to": "builder", "body": f"body {number}", "replyTo": first}
        served.post("/api/messages", url, body)

    shown = served("thread", str(first), "--json").worked().json
    numbers = [
        one["id"]
        for one in served("thread", str(first), "--limit", "200", "--json").json["messages"]
    ]
    told = served("thread", str(first), "--limit", "4").worked().out.splitlines()

    assert len(numbers) == 104
    assert [one["id"] for one in shown["messages"]] == numbers[-20:]
    assert shown["more"] == 84
    assert told[-1] == f"and 100 more: `agent-relay thread {first} --before {numbers[-4]}`"
    before = served("thread", str(first), "--before", str(numbers[2]), "--json").worked().json
    assert [one["id"] for one in before["messages"]] == numbers[:2]
    assert "older" in served("thread", str(first), "--before", str(first)).worked().out


def test_many_agents_are_listed_in_pieces(served: Relay):
    url = served("status", "--json").worked().json["hub"]["url"]
    for number in range(5):
        served.register(f"many-{number}", url, tags=["many things"])

    text = served("agents", "--tag", "many things", "--limit", "3").worked().out.splitlines()
    listed = served("agents", "--limit", "2", "--json").worked().json
    rest = served("agents", "--tag", "many things", "--after", "many-2", "--json").worked().json

    assert text[-1] == "and 2 more: `agent-relay agents --tag 'many things' --after many-2`"
    assert len(listed["agents"]) == 2
    assert listed["more"] >= 5
    assert [one["id"] for one in rest["agents"]] == ["many-3", "many-4"]
    assert "no such agents" in served("agents", "--tag", "nobody's").worked().out


class Followed:
    """A tail that runs, and what it has printed."""

    def __init__(self, relay: Relay, *arguments: str) -> None:
        self.process = relay.start("tail", *arguments, "--json")
        assert self.next()["event"] == "connected"

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        return dict(json.loads(line))

    def told(self) -> tuple[str, str, str]:
        event = self.next()
        return event["event"], event["delivery"]["agentId"], event["delivery"]["state"]


def test_several_messages_of_one_moment_are_all_told(served: Relay):
    url = served("status", "--json").worked().json["hub"]["url"]
    served.register("leaver", url)
    for text in ("x", "y"):
        sent(served, "leaver", text, "--from", "builder")
    tail = Followed(served)

    # Both are dead at once, so that the hub tells their sender twice in one step.
    request = urllib.request.Request(  # noqa: S310 - our own hub
        f"{url}/api/agents/leaver",
        method="DELETE",
        headers={"Authorization": f"Bearer {(served.data / 'token').read_text().strip()}"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - same

    notices = [tail.next()["message"] for _ in range(2)]
    assert [(one["from"], one["to"]) for one in notices] == [("hub", "builder")] * 2
    assert notices[0]["id"] < notices[1]["id"]
    tail.process.send_signal(signal.SIGINT)
    tail.process.communicate(timeout=LINE_LIMIT_S)


def test_what_happens_is_told_as_it_happens(served: Relay):
    tail = Followed(served)
    number = sent(served, "echo", "hello")

    arrived = tail.next()
    told = {tail.told() for _ in range(3)}

    assert (arrived["event"], arrived["message"]["id"], arrived["message"]["body"]) == (
        "mail", number, "hello",
    )  # fmt: skip
    assert {
        ("receipt", "echo-home-echo", "delivered"),
        ("mail", "operator", "queued"),
    } <= told
    tail.process.send_signal(signal.SIGINT)
    out, complaints = tail.process.communicate(timeout=30)
    assert (tail.process.returncode, out, complaints) == (130, "", "")


def test_one_agents_tail_tells_nothing_of_others(served: Relay):
    tail = Followed(served, "--agent", "builder", "--count", "2")
    sent(served, "echo", "to another one")
    sent(served, "builder", "first")
    served("send", "echo", "as it", "--from", "builder").worked()

    assert tail.next()["message"]["body"] == "first"
    assert tail.next()["message"]["from"] == "builder"
    assert tail.process.wait(timeout=30) == 0


def test_a_tail_for_people_is_a_line_for_each_event_and_remarks_beside(served: Relay):
    tail = served.start("tail", "--agent", "echo-home-echo")
    assert tail.stderr is not None
    assert tail.stdout is not None
    remark = tail.stderr.readline()
    number = sent(served, "echo", "a\x1b[2Jb")
    lines: list[str] = []
    while not any(line.endswith("echo-home-echo  delivered\n") for line in lines):
        lines += [line for line in [tail.stdout.readline()] if f"  {number}  " in line]
    tail.send_signal(signal.SIGINT)
    tail.communicate(timeout=60)
    out = "".join(lines)

    assert remark.startswith("agent-relay: connected to http://")
    assert f"  {number}  operator to echo-home-echo: a⟦U+001B⟧[2Jb\n" in out
    assert f"  {number}  operator to echo-home-echo  delivered\n" in out


def test_a_tail_tells_which_message_answers_a_question(served: Relay):
    tail = served.start("tail", "--agent", "echo-home-echo")
    assert tail.stderr is not None
    assert tail.stdout is not None
    tail.stderr.readline()
    asked = served("ask", "echo", "well?", "--json", "--wait", "60").worked().json
    (answer,) = asked["answers"]
    wanted = f"  {asked['id']}  operator to echo-home-echo  answered by message {answer['replyId']}"
    while not (line := tail.stdout.readline()).rstrip("\n").endswith(wanted):
        assert line, "the tail has ended"
    tail.send_signal(signal.SIGINT)
    tail.communicate(timeout=60)


def test_it_is_said_that_a_recipient_is_away(served: Relay):
    url = served("status", "--json").worked().json["hub"]["url"]
    served.register("gone", url, status="offline")
    number = str(sent(served, "gone", "for later"))
    words = "waits for its session; away now: gone"

    (delivery,) = served("show", number, "--json").worked().json["deliveries"]
    assert delivery["away"] is True
    assert words in served("show", number).worked().out.splitlines()
    assert f"({words})" in served("thread", number).worked().out


def test_a_tail_waits_for_its_hub_and_tells_what_it_missed(relay: Relay):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    relay.register("builder", relay.up("--port", port)["url"])
    tail = Followed(relay)
    first = sent(relay, "builder", "before")
    assert tail.next()["message"]["id"] == first
    relay("down").worked()
    assert tail.next()["event"] == "disconnected"

    relay.up("--port", port)
    second = sent(relay, "builder", "after")
    events = [tail.next(), tail.next()]

    assert [one["event"] for one in events] == ["connected", "mail"]
    assert events[1]["message"]["id"] == second


def test_a_tail_without_a_hub_or_of_nobody_ends_at_once(relay: Relay, served: Relay):
    assert "agent-relay up" in relay("tail").failed(3)
    assert "nobody" in served("tail", "--agent", "nobody").failed(1)


def test_an_agents_token_tails_its_agent_alone(served: Relay):
    token = served("token", "new", "builder", "--json").worked().json["token"]
    as_builder = {"AGENT_RELAY_TOKEN": token}

    refused = served("tail", environ=as_builder)
    tail = served.start("tail", "--agent", "builder", "--count", "1", "--json", environ=as_builder)
    assert tail.stdout is not None
    assert json.loads(tail.stdout.readline())["event"] == "connected"
    number = sent(served, "builder", "for it")
    out, _ = tail.communicate(timeout=60)

    assert "--agent" in refused.failed(1)
    assert json.loads(out)["message"]["id"] == number


def test_a_reader_that_goes_away_ends_a_tail(served: Relay):
    script = f"{PROGRAMS}/agent-relay tail --json | head -1; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.Popen(
        ["bash", "-c", script],
        env=served.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert piped.stdout is not None
    piped.stdout.readline()
    for _ in range(2):
        sent(served, "builder", "x")
    out, complaints = piped.communicate(timeout=60)

    assert (out.strip(), complaints) == ("0", "")
