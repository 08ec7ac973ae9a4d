"""A hub of somebody else's, or one that was there first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from user_commands import Relay, free_port


@pytest.fixture
def other(short_path: Path) -> Iterator[Relay]:
    """A second user, with a home and a token of their own."""
    user = Relay(short_path / "other", in_process=True)
    yield user
    user.end()


def test_a_host_uses_the_hub_that_the_environment_names(relay: Relay, other: Relay):
    hub = relay.up()
    other.environ |= {
        "AGENT_RELAY_URL": hub["url"],
        "AGENT_RELAY_TOKEN": (relay.data / "token").read_text().strip(),
    }
    other.write_config('[plugin."relay.echo"]\nagents = ["ada"]\n')

    report = other("up", "--detach", "--json").worked().json

    assert report["url"] == hub["url"]
    assert not (other.data / "hub.sqlite").exists()
    sent = relay("send", "ada", "across two hosts", "--wait", "30", "--json").worked().json
    assert [one["state"] for one in sent["deliveries"]] == ["delivered"]


def test_a_host_waits_for_the_hub_whose_token_it_has(relay: Relay, other: Relay):
    port = free_port()
    relay.up("--port", str(port))
    token = (relay.data / "token").read_text().strip()
    relay("down").worked()
    other.environ |= {
        "AGENT_RELAY_URL": f"http://127.0.0.1:{port}",
        "AGENT_RELAY_TOKEN": token,
    }

    host = other.start("up", "--json")
    relay.up("--port", str(port))

    assert host.stdout is not None
    assert f"http://127.0.0.1:{port}" in host.stdout.readline()
    assert not (other.data / "hub.sqlite").exists(), "it made no empty hub in that one's place"


def test_a_host_that_waits_in_vain_says_so_and_makes_no_hub(other: Relay):
    other.environ |= {
        "AGENT_RELAY_URL": f"http://127.0.0.1:{free_port()}",
        "AGENT_RELAY_TOKEN": "x" * 40,
    }

    done = other("up")
    waiting, line = done.err.splitlines()

    assert done.code == 3
    assert "waiting for it" in waiting
    assert "start that hub" in line
    assert not (other.data / "hub.sqlite").exists()


def test_a_named_hub_that_does_not_know_the_token_is_refused(relay: Relay, other: Relay):
    hub = relay.up()
    other.environ |= {"AGENT_RELAY_URL": hub["url"], "AGENT_RELAY_TOKEN": "x" * 40}

    line = other("up").failed(1)

    assert "does not know this token" in line
    assert "AGENT_RELAY_TOKEN" in line


def test_where_the_named_hub_is_not_there_it_is_run_here(relay: Relay):
    port = free_port()
    relay.environ["AGENT_RELAY_URL"] = f"http://127.0.0.1:{port}"

    report = relay("up", "--detach", "--json").worked().json

    assert report["url"] == f"http://127.0.0.1:{port}"
    assert relay("status").code == 0


def test_a_port_that_contradicts_the_named_hub_is_refused(relay: Relay):
    relay.environ["AGENT_RELAY_URL"] = f"http://127.0.0.1:{free_port()}"

    assert "contradict" in relay("up", "--port", "0").failed(2)


def test_the_port_of_the_settings_is_used(relay: Relay):
    port = free_port()
    relay.write_config(f"[hub]\nport = {port}\n")

    assert relay.start("up", "--json").stdout is not None
    line = relay.started[0].stdout
    assert line is not None
    assert f"http://127.0.0.1:{port}" in line.readline()
    assert relay("agents", "--url", f"http://127.0.0.1:{port}").code == 0


def test_a_hub_of_another_user_gets_nothing_of_ours(relay: Relay, other: Relay):
    hub = other.up()
    relay.up()

    line = relay("agents", "--url", hub["url"]).failed(1)

    assert "was not sent there" in line
