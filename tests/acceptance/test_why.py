"""Why a message is where it is, also when the host that decided it is gone."""

import stat
from typing import Any

import pytest

from user_commands import Relay, until

ECHO = '[plugin."relay.echo"]\nagents = ["echo"]\n'


def decided(relay: Relay, config: str = "") -> int:
    """Let a message be delivered, and the host that delivered it end."""
    relay.write_config(ECHO + config)
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


# --- asking again ----------------------------------------------------------------------------

NIGHT = """
from relay_core import DeliveryPlan, hookimpl

@hookimpl
def choose_delivery(messages, session):
    return DeliveryPlan.wait("night")
"""
LOUD = """
from dataclasses import dataclass
from relay_core import hookimpl

class Loud:
    @hookimpl(wrapper=True)
    def format_prompt(self, messages, session, plan):
        from msgspec.structs import replace
        prompt = yield
        return replace(prompt, footer="HEY")

plugin = Loud()
"""


def again(relay: Relay, *arguments: str) -> Any:
    return relay("why", *arguments, "--json").worked().json


@pytest.fixture
def number(relay: Relay) -> int:
    """A message that was decided, with host and hub up again."""
    found = decided(relay)
    relay.up()
    return found


def test_the_same_plugins_would_decide_the_same(relay: Relay, number: int):
    told = again(relay, str(number))

    assert [each["hook"] for each in told["decisions"]] == [
        "on_message",
        "choose_delivery",
        "format_prompt",
    ]
    assert not any(each["differs"] for each in told["decisions"])
    assert "the same would be decided now" in relay("why", str(number)).worked().out


def test_a_file_that_is_not_installed_is_tried(relay: Relay, number: int):
    (relay.home / "night_shift.py").write_text(NIGHT)

    out = relay("why", str(number), "--with", "./night_shift.py").worked().out

    assert (
        'choose_delivery was {"mode":"start"} and would be {"mode":"wait","reason":"night"}' in out
    )
    assert any(
        line.split()[:3] == ["differs", "choose_delivery", "night-shift"]
        for line in out.splitlines()
    )
    told = again(relay, str(number), "--with", "./night_shift.py")
    assert {each["hook"]: each["differs"] for each in told["decisions"]} == {
        "on_message": False,
        "choose_delivery": True,
        "format_prompt": False,
    }


def test_a_changed_prompt_is_shown_as_a_diff_with_the_text_of_then(relay: Relay, number: int):
    (relay.home / "shouting.py").write_text(LOUD)

    out = relay("why", str(number), "--with", "shouting:plugin", apart=True).worked().out

    assert "format_prompt would write another text" in out
    assert "--- then\n+++ now\n" in out
    assert "+HEY" in out


def test_nothing_changes_by_asking_again(relay: Relay, number: int):
    before = relay("show", str(number), "--json").json, record(relay).read_bytes()
    (relay.home / "night_shift.py").write_text(NIGHT)

    relay("why", str(number), "--with", "night_shift.py").worked()

    assert (relay("show", str(number), "--json").json, record(relay).read_bytes()) == before


def test_a_blocked_plugin_is_tried(relay: Relay):
    number = decided(relay, '[plugins]\nblock = ["relay.channels"]\n')
    relay.up()

    told = again(relay, str(number), "--with", "relay.channels")

    (verdict,) = [each for each in told["decisions"] if each["hook"] == "on_message"]
    assert "relay.channels" not in [each["plugin"] for each in verdict["then"]["answers"]]
    assert "relay.channels" in [each["plugin"] for each in verdict["now"]["answers"]]


def test_a_plugin_is_left_out(relay: Relay, number: int):
    out = relay("why", str(number), "--without", "relay.prompt").worked().out

    assert "format_prompt cannot be asked again" in out
    assert "no plugin answered format_prompt" in out


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("relay.chanels", 1, "did you mean relay.channels?"),
        ("nowhere.py", 2, "there is no file nowhere.py"),
        ("broken.py", 1, "not today"),
        ("empty.py", 1, "implements no hook"),
        ("nowhere:plugin", 1, "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    relay: Relay, number: int, name: str, code: int, told: str
):
    (relay.home / "broken.py").write_text("raise RuntimeError('not today')")
    (relay.home / "empty.py").write_text("")

    assert told in relay("why", str(number), "--with", name).failed(code)


def test_what_is_not_on_record_is_said(relay: Relay, number: int):
    record(relay).unlink()

    assert f"nothing is on record of message {number}" in relay("why", str(number)).failed(1)
    assert "no message 99" in relay("why", "99").failed(1)


def test_without_a_hub_nothing_can_be_asked_again(relay: Relay, number: int):
    relay("down").worked()

    assert "no hub answers" in relay("why", str(number)).failed(3)


def test_a_plugin_that_gets_its_settings_in_start_is_named(relay: Relay, number: int):
    (relay.home / "started.py").write_text(
        NIGHT + "\n@hookimpl\ndef start(relay):\n    raise RuntimeError('it must not be called')\n"
    )

    done = relay("why", str(number), "--with", "started.py").worked()

    assert "such as their settings: started — try `--start`" in done.err


CONFIGURED = """
from contextlib import asynccontextmanager
import msgspec
from relay_core import DeliveryPlan, hookimpl

reason = "unset"

@hookimpl
@asynccontextmanager
async def start(relay):
    global reason
    reason = msgspec.json.decode(relay.table)["reason"]
    yield

@hookimpl
def choose_delivery(messages, session):
    return DeliveryPlan.wait(reason)
"""


def test_with_start_a_plugin_has_its_settings(relay: Relay, number: int):
    (relay.home / "configured.py").write_text(CONFIGURED)
    relay.write_config(f'{ECHO}[plugin.configured]\nreason = "night"\n')

    done = relay("why", str(number), "--with", "configured.py", "--start").worked()

    assert '"reason":"night"' in done.out
    assert done.err == ""


def test_what_start_asks_of_the_relay_is_refused_in_a_replay(relay: Relay, number: int):
    code = CONFIGURED.replace("    yield", "    await relay.release(1)\n    yield")
    (relay.home / "releasing.py").write_text(code)
    relay.write_config(f'{ECHO}[plugin.releasing]\nreason = "night"\n')

    done = relay("why", str(number), "--with", "releasing.py", "--start").worked()

    assert "releasing: start: this is a replay, in which nothing is changed" in done.err
