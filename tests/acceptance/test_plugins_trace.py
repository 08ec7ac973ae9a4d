"""`agent-relay plugins trace`: every call of a plugin, as it happens."""

import json
from pathlib import Path

import pytest

from user_commands import Relay, until


@pytest.fixture
def relay(short_path: Path):
    made = Relay(short_path, in_process=True)
    made.write_config('[plugin."relay.echo"]\nagents = ["ada"]\n')
    yield made
    made.end()


def agent(relay: Relay) -> str:
    (found,) = until(
        "the echo agent is there", lambda: relay("agents", "--json").worked().json["agents"]
    )
    return str(found["id"])


def test_each_call_is_a_line_with_its_time_its_plugin_and_its_answer(relay: Relay):
    relay.up()
    to = agent(relay)
    watching = relay.start("plugins", "trace", "--agent", to, "--count", "4")
    assert watching.stderr is not None
    assert "watching" in watching.stderr.readline()

    sent = relay("send", to, "hello", "--wait", "30", "--json").worked().json
    out, err = watching.communicate(timeout=60)

    assert watching.returncode == 0, err
    lines = [line.split() for line in out.splitlines()]
    asked = [(line[3], line[4]) for line in lines]
    assert ("on_message", "relay.channels") in asked
    assert ("choose_delivery", "relay.delivery") in asked
    assert ("format_prompt", "relay.prompt") in asked
    assert all(line[2] == "µs" and line[5] == to for line in lines)
    assert all(line[6] == str(sent["id"]) for line in lines)


def test_with_json_each_line_is_an_object_and_only_what_is_wanted_is_shown(relay: Relay):
    relay.up()
    to = agent(relay)
    watching = relay.start(
        "plugins", "trace", "--hook", "choose_delivery", "--count", "1", "--json"
    )

    def seen() -> bool:
        relay("send", to, "hello", "--wait", "30").worked()
        return watching.poll() is not None

    until("a call is shown", seen)

    assert watching.stdout is not None
    call = json.loads(watching.stdout.readline())
    assert (call["hook"], call["plugin"], call["agentId"]) == (
        "choose_delivery",
        "relay.delivery",
        to,
    )
    assert call["answer"]["mode"] == "start"
    assert call["tookUs"] > 0


def test_without_a_host_it_says_so(relay: Relay):
    refused = relay("plugins", "trace", "--count", "1")

    assert refused.code == 3
    assert "no host listens" in refused.err
