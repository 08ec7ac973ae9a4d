"""Why a message is where it is, also when the host that decided it is gone."""

import stat
from typing import Any

import pytest

from user_commands import Relay, until

ECHO = '[plugin."relay.echo"]\nagents = ["echo"]\n'


def decided(relay: Relay) -> int:
    """Let a message be delivered, and the host that delivered it end."""
    relay.write_config(ECHO)
    relay.up()
    until("the echo agent", lambda: relay("status", "--json").json["sessions"])
    sent = relay("send", "echo", "hello", "--wait", "30", "--json").worked().json
    relay("down").worked()
    return int(sent["id"])


def record(relay: Relay) -> Any:
    return relay.data / "decisions.jsonl"


def test_a_host_that_has_started_since_tells_from_the_record(relay: Relay):
    number = decided(relay)
    relay.up()

    told = relay("show", str(number), "--why", "--json").worked().json

    assert told["toldBy"]["source"] == "record"
    assert {one["hook"]: one["plugin"] for one in told["decisions"] if one["chosen"]} == {
        "choose_delivery": "relay.delivery",
        "format_prompt": "relay.prompt",
    }
    assert {one["version"] for one in told["decisions"]} == {told["toldBy"]["version"]}
    assert "by host 0.1.0" in relay("show", str(number), "--why").worked().out


def test_without_host_and_hub_the_record_tells(relay: Relay):
    number = decided(relay)

    done = relay("show", str(number), "--why").worked()

    assert "choose_delivery" in done.out
    assert "the hub does not answer: only what is on record" in done.err
    assert relay("show", str(number), "--why", "--json").worked().json["id"] == number


def test_without_host_and_record_the_hub_is_what_is_missed(relay: Relay):
    number = decided(relay)
    record(relay).unlink()

    assert "no hub answers" in relay("show", str(number), "--why").failed(3)


def test_the_record_is_private_and_holds_no_word_of_the_message(relay: Relay):
    decided(relay)

    assert stat.S_IMODE(record(relay).stat().st_mode) == 0o600
    assert "hello" not in record(relay).read_text()


def test_a_damaged_record_is_told_as_far_as_it_can_be_read(relay: Relay):
    number = decided(relay)
    with record(relay).open("a") as stream:
        stream.write('{"hook":"on_message","mess')

    done = relay("show", str(number), "--why").worked()

    assert "choose_delivery" in done.out
    assert "damaged lines of the record that were skipped: 1" in done.err


@pytest.mark.parametrize("command", [("show", "1", "--why")])
def test_a_record_that_is_a_link_is_not_read(relay: Relay, command: tuple[str, ...]):
    decided(relay)
    record(relay).rename(relay.home / "elsewhere")
    record(relay).symlink_to(relay.home / "elsewhere")

    assert "decisions.jsonl" in relay(*command).failed(4)
