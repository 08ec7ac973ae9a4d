"""A question typed in a terminal, and its answer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from user_commands import Relay, until

ECHO = '[plugin."relay.echo"]\nagents = ["ada", "bob"]\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Two agents that echo, and one that nobody serves, so that it never answers by itself."""
    user = Relay(tmp_path_factory.mktemp("asked") / "home", in_process=True)
    user.write_config(ECHO)
    report = user.up()
    user.register("absent", report["url"], status="offline")
    until("both echo agents", lambda: {"ada", "bob"} <= {each["label"] for each in agents(user)})
    yield user
    user.end()


def agents(user: Relay) -> list[dict[str, Any]]:
    return list(user("agents", "--json").worked().json["agents"])


@contextmanager
def asking(user: Relay, *typed: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command that waits, once its request is at the hub, and the request's number."""
    question = typed[-1]

    def number() -> int:
        mail = user("inbox", typed[1], "--json").worked().json["messages"]
        return next((each["id"] for each in mail if each["body"] == question), 0)

    with subprocess.Popen(
        [sys.executable, "-m", "relay_cli", *typed],
        env=user.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        try:
            until("the request", number)
            yield waiting, number()
        finally:
            waiting.kill()


def test_the_answer_is_what_is_printed(served: Relay):
    done = served("ask", "ada", "which day is it?").worked()

    assert done.out == "which day is it?\n"
    assert done.err == ""


def test_several_answers_are_listed_by_who_gave_them(served: Relay):
    done = served("ask", "cap:chat", "hello", "--wait", "2")
    asked = served("ask", "tag:echo", "hello", "--json").worked().json

    ids = sorted(each["id"] for each in agents(served) if each["label"] in {"ada", "bob"})
    assert [line for line in done.out.split("\n") if line] == [
        part for each in ids for part in (f"{each}:", "hello")
    ]
    assert asked["complete"]
    assert sorted(each["agentId"] for each in asked["answers"]) == ids
    assert {(each["state"], each["text"]) for each in asked["answers"]} == {("answered", "hello")}


def test_one_answer_is_enough_where_the_request_is_claimable(served: Relay):
    asked = served("ask", "tag:echo", "hello", "--claimable", "--json").worked().json

    assert asked["complete"]
    assert sorted(each["state"] for each in asked["answers"]) == ["answered", "not_delivered"]


def test_the_result_of_claimed_work_is_its_answer(served: Relay):
    typed = ("ask", "absent", "--claimable", "--json", "which day?")
    with asking(served, *typed) as (waiting, number):
        served("claim", "take", str(number), "--as", "absent").worked()
        ended = ("claim", "complete", str(number), "--result", "Sunday", "--as", "absent")
        served(*ended).worked()
        out, _ = waiting.communicate(timeout=30)

    (answer,) = json.loads(out)["answers"]
    assert waiting.returncode == 0
    assert (answer["state"], answer["text"]) == ("answered", "Sunday")


def test_no_answer_in_time_ends_with_5_and_says_what_to_do(served: Relay):
    done = served("ask", "absent", "are you there?", "--wait", "0.1")
    typed = served("ask", "absent", "are you there?", "--wait", "0.1", "--json")

    assert (done.code, done.out) == (5, "")
    assert "away, so the question waits for them: absent" in done.err
    assert "absent has not answered within 0.1 s" in done.err
    assert "agent-relay show" in done.err
    assert typed.code == 5
    assert typed.json["complete"] is False
    assert typed.json["answers"][0]["state"] == "waiting"


def test_a_request_that_was_taken_back_is_waited_for_no_longer(served: Relay):
    with asking(served, "ask", "absent", "never mind?") as (waiting, number):
        served("cancel", str(number)).worked()
        _, err = waiting.communicate(timeout=30)

    assert waiting.returncode == 5
    assert "did not reach absent (cancelled)" in err
    assert "not_delivered (cancelled)" in served("show", str(number)).worked().out


def test_an_answer_shows_where_it_is(served: Relay):
    asked = served("ask", "ada", "hm?", "--json").worked().json
    shown = served("show", str(asked["id"])).worked().out

    assert f"message {asked['answers'][0]['replyId']}" in shown


def test_ctrl_c_ends_the_waiting_and_leaves_the_request(served: Relay):
    with asking(served, "ask", "absent", "still there?") as (waiting, number):
        time.sleep(0.3)
        os.kill(waiting.pid, signal.SIGINT)
        out, err = waiting.communicate(timeout=30)

    assert (waiting.returncode, out) == (130, "")
    assert f"request {number} stays at the hub" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("ask", "nobody", "hello"), "nobody"),
        (("ask", "ada", "  "), "the message is empty"),
        (("ask", " ", "hello"), "TARGET is empty"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(served: Relay, typed: tuple[str, ...], says: str):
    done = served(*typed)

    assert done.code in {1, 2}
    assert says in done.err
    assert done.err.count("\n") == 1
