"""`agent-relay quiet` as it is typed."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from user_commands import Relay

ANN = {"CODEX_THREAD_ID": "thread-of-ann"}
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with a session's agent and two others, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    url = user.up()["url"]
    user.register("ann", url, label="label of ann", meta={"threadId": "thread-of-ann"})
    for name in ("ben", "cleo"):
        user.register(name, url)
    yield user
    user.end()


@pytest.fixture(autouse=True)
def _nobody_is_quiet(served: Relay) -> Iterator[None]:
    yield
    served("quiet", "--all", "--off").worked()


def told(relay: Relay, *words: str, **fields: Any) -> dict[str, int | None]:
    listed = relay("quiet", *words, "--json", **fields).worked().json["agents"]
    return {one["agentId"]: one["quietUntilMs"] for one in listed}


def test_an_agent_is_quiet_for_a_while_and_then_not(served: Relay):
    began_ms = time.time_ns() // 1_000_000
    until_ms = told(served, "ben", "--for", "1h")["ben"] or 0
    listed = served("quiet").worked().out
    ended = served("quiet", "ben", "--off").worked().out

    assert began_ms + HOUR_MS <= until_ms <= time.time_ns() // 1_000_000 + HOUR_MS
    assert listed.startswith("AGENT  LABEL  QUIET UNTIL\nben")
    assert len(listed.splitlines()) == 2
    assert ended == "ben is not quiet\n"
    assert served("quiet").worked().out == "no agent is quiet\n"


def test_the_session_of_this_shell_is_meant_where_nobody_is_named(served: Relay):
    set_for = served("quiet", "--until", "00:00", environ=ANN).worked().out
    shown = served("quiet", environ=ANN).worked().out

    assert set_for == "ann is quiet until 00:00\n"
    assert "label of ann  00:00" in shown
    assert list(told(served)) == ["ann"]
    assert told(served, "ben") == {"ben": None}
    assert list(told(served, environ=ANN)) == ["ann"]


def test_all_agents_can_be_quiet_at_once(served: Relay):
    assert set(told(served, "--all", "--for", "30m")) == {"ann", "ben", "cleo"}
    assert len(told(served)) == 3
    assert told(served, "--all", "--off") == {"ann": None, "ben": None, "cleo": None}


def test_the_lists_of_agents_say_who_is_quiet(served: Relay):
    until_ms = told(served, "ann", "--for", "1h")["ann"]
    rows = served("agents", "--json").worked().json["agents"]
    own = served("status", "--mine", "--json", environ=ANN).worked().json

    assert {row["id"]: row["quietUntilMs"] for row in rows} == {
        "ann": until_ms,
        "ben": None,
        "cleo": None,
    }
    assert own["agent"]["quietUntilMs"] == until_ms
    assert "quiet until " in served("agents").worked().out
    assert "\nquiet until   " in served("status", "--mine", environ=ANN).worked().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--for", "1h"), "which agent?"),
        (("--off",), "which agent?"),
        (("ben", "--for", "soon"), "no duration"),
        (("ben", "--for", "30"), "no duration"),
        (("ben", "--until", "25:00"), "no time of day"),
        (("ben", "--for", "1h", "--off"), "exclude each other"),
        (("ben", "--all", "--off"), "takes no AGENT"),
        (("", "--off"), "empty"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(served: Relay, words: tuple[str, ...], told: str):
    assert told in served("quiet", *words).failed(2)


def test_what_the_hub_refuses_is_one_line(served: Relay):
    assert "nobody" in served("quiet", "nobody", "--for", "1h").failed(1)
    assert "next year" in served("quiet", "ben", "--for", "9999d").failed(1)
