"""The variables that count for everything that runs do what they say; the others count nothing."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from user_commands import Relay, until

ECHO = '[plugin."relay.echo"]\nagents = ["ada"]\n'
A_DAY_MS = "86400000"
OFTEN = 40
"""Requests that a host with the usual intervals does not make in the time of a test."""


@pytest.fixture
def other(short_path: Path) -> Iterator[Relay]:
    """A second user, whose host uses the first one's hub."""
    user = Relay(short_path / "other", in_process=True)
    user.write_config(ECHO)
    yield user
    user.end()


def agent(relay: Relay, **environ: str) -> dict[str, Any]:
    done = relay("agents", "--json", environ=environ).worked()
    (found,) = done.json["agents"]
    return dict(found)


@pytest.mark.parametrize("interval", ["POLL", "HEARTBEAT"])
def test_a_host_asks_and_tells_as_often_as_it_is_told_to(relay: Relay, other: Relay, interval: str):
    hub = relay.up()
    token = (relay.data / "token").read_text().strip()
    other.environ |= {
        "AGENT_RELAY_URL": hub["url"],
        "AGENT_RELAY_TOKEN": token,
        "AGENT_RELAY_CODEX_POLL_INTERVAL_MS": A_DAY_MS,
        "AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS": A_DAY_MS,
        f"AGENT_RELAY_CODEX_{interval}_INTERVAL_MS": "20",
    }
    other("up", "--detach").worked()
    until("it is registered", lambda: "ada" in relay("agents").worked().out)

    before = requests(hub["url"], token)
    until("it asks often", lambda: requests(hub["url"], token) > before + OFTEN)


def requests(url: str, token: str) -> float:
    """How many requests a hub has answered."""
    headers = {"X-Agent-Relay-Token": token}
    asked = urllib.request.Request(f"{url}/metrics", headers=headers)  # noqa: S310 - our own hub
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - same
        figures = answer.read().decode()
    told = re.search(r"^agent_relay_requests_total (\S+)$", figures, re.MULTILINE)
    assert told
    return float(told[1])


@pytest.mark.parametrize("form", ["absolute", "below ~"])
def test_the_file_with_the_profiles_is_the_one_that_is_named(relay: Relay, form: str):
    file = relay.home / "mine" / "profiles.json"
    file.parent.mkdir()
    file.write_text(
        json.dumps({"all": {"match": "/", "capabilities": ["sing"], "channels": ["x"]}})
    )
    named = str(file) if form == "absolute" else "~/mine/profiles.json"
    relay.write_config(ECHO)

    relay.up(environ={"AGENT_RELAY_PROFILES_FILE": named})

    until("it is registered", lambda: "ada" in relay("agents").worked().out)
    assert (agent(relay)["capabilities"], agent(relay)["channels"]) == (["sing"], ["x"])


def test_what_is_for_one_session_counts_nothing_for_the_sessions_of_a_host(relay: Relay):
    relay.write_config(ECHO)
    mine = {
        "AGENT_RELAY_PROFILE": "nobody",
        "AGENT_RELAY_LABEL": "mine",
        "AGENT_RELAY_TAGS": "mine",
        "AGENT_RELAY_CAPS": "mine",
        "AGENT_RELAY_CHANNELS": "mine",
        "AGENT_RELAY_APPROVAL": "guarded",
        "AGENT_RELAY_CODEX_RIG": "mine",
    }

    relay.up(environ=mine)

    until("it is registered", lambda: "ada" in relay("agents").worked().out)
    assert "mine" not in json.dumps(agent(relay))
    assert agent(relay)["approval"] != "guarded"


def test_everything_is_below_the_folder_that_is_named(relay: Relay, short_path: Path):
    there = short_path / "there"
    relay.environ["AGENT_RELAY_HOME"] = str(there)
    (there / "config").mkdir(parents=True)
    (there / "config" / "config.toml").write_text(ECHO)

    relay("up", "--detach", "--port", "0").worked()
    until("it is registered", lambda: "ada" in relay("agents").worked().out)

    assert (there / "data" / "token").exists()
    assert (there / "data" / "hub.sqlite").exists()
    assert list(relay.home.iterdir()) == []
