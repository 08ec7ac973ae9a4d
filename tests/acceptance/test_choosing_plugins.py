"""Plugins are blocked, singled out and ordered by commands; config.toml stays the user's."""

import stat
import tomllib
from typing import Any

import pytest

from user_commands import Relay, until

OURS = "agent-relay-codex"
MINE = """\
# my settings
[hub]
port = 0   # any

[plugins]   # who is asked
block = [
  "relay.echo",      # too loud
  "relay.channels",  # nobody subscribes
]

# the end
[plugin."relay.echo"]
agents = ["echo"]
"""


def plugins(relay: Relay) -> Any:
    return tomllib.loads(relay.config.read_text()).get("plugins", {})


def states(relay: Relay) -> dict[str, str]:
    rows = relay("plugins", "--json").worked().json["plugins"]
    return {row["name"]: row["state"] for row in rows}


# --- block -----------------------------------------------------------------------------------


def test_a_blocked_plugin_is_not_loaded_until_that_is_undone(relay: Relay):
    out = relay("plugins", "block", "relay.echo").worked().out
    assert out.splitlines() == ["blocked: relay.echo", f"written to {relay.config}"]
    assert states(relay)["relay.echo"] == "blocked"

    out = relay("plugins", "block", "relay.echo", "--undo").worked().out
    assert out.splitlines()[0] == "not blocked any more: relay.echo"
    assert states(relay)["relay.echo"] == "loaded"
    assert relay.config.read_text() == ""


def test_comments_and_layout_stay(relay: Relay):
    relay.write_config(MINE)

    relay("plugins", "block", "relay.claims").worked()
    relay("plugins", "block", "relay.channels", "--undo").worked()

    assert relay.config.read_text() == MINE.replace(
        '  "relay.channels",  # nobody subscribes\n', '  "relay.claims",\n'
    )


def test_what_is_written_is_private_also_behind_a_link(relay: Relay):
    relay.write_config("")
    elsewhere = relay.home / "dotfiles.toml"
    relay.config.rename(elsewhere)
    elsewhere.chmod(0o644)
    relay.config.symlink_to(elsewhere)

    relay("plugins", "block", "relay.echo").worked()

    assert relay.config.is_symlink()
    assert "relay.echo" in elsewhere.read_text()
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600


def test_what_is_blocked_already_changes_nothing(relay: Relay):
    relay.write_config(MINE)

    done = relay("plugins", "block", "relay.echo", "--json").worked().json

    assert (done["changed"], done["block"]) == (False, ["relay.echo", "relay.channels"])
    assert relay.config.read_text() == MINE


def test_without_a_name_what_is_blocked_is_shown_with_its_place(relay: Relay):
    assert "no plugin is blocked" in relay("plugins", "block").worked().out
    relay.write_config(MINE)

    out = relay("plugins", "block").worked().out

    assert "relay.echo" in out
    assert f"set in {relay.config}:6" in out
    assert relay("plugins", "block", "--json").json["block"] == ["relay.echo", "relay.channels"]


def test_a_name_that_nothing_has_is_refused_with_close_ones(relay: Relay):
    line = relay("plugins", "block", "relay.chanels").failed(1)

    assert "did you mean relay.channels" in line
    assert "--force" in line
    assert not relay.config.exists()
    relay("plugins", "block", "not-there-yet", "--force").worked()
    assert plugins(relay) == {"block": ["not-there-yet"]}
    assert "(not installed)" in relay("plugins", "block").worked().out
    relay("plugins", "block", "not-there-yet", "--undo").worked()


def test_what_is_not_blocked_cannot_be_unblocked(relay: Relay):
    relay.write_config(MINE)

    assert "there is: relay.echo, relay.channels" in relay(
        "plugins", "block", "relay.claims", "--undo"
    ).failed(1)
    assert "name what" in relay("plugins", "block", "--undo").failed(2)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("relay.delivery", "no plugin answers choose_delivery any more: nothing is delivered"),
        ("relay.prompt", "no plugin answers format_prompt any more: nothing is delivered"),
        (OURS, "no plugin answers register_adapters any more: no session is reached"),
    ],
)
def test_what_the_relay_needs_is_blocked_with_a_warning(relay: Relay, name: str, told: str):
    done = relay("plugins", "block", name).worked()

    assert told in done.err
    relay("plugins", "block", name, "--undo").worked()
    assert told in relay("plugins", "block", name, "--json").worked().json["warnings"]


def test_a_running_host_goes_on_and_that_is_said(relay: Relay):
    relay.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    relay.up()
    until("the echo agent", lambda: relay("status", "--json").json["sessions"])

    done = relay("plugins", "block", "relay.echo").worked()

    assert "until `agent-relay down && agent-relay up --detach`" in done.out
    assert states(relay)["relay.echo"] == "loaded"
    assert relay("plugins", "only", "relay.echo", "--json").worked().json["hostRuns"]


# --- only ------------------------------------------------------------------------------------


def test_only_keeps_what_comes_with_the_relay_and_says_so(relay: Relay):
    out = relay("plugins", "only", "night-shift", "--force").worked().out

    assert f"what comes with the relay ({OURS}; `--bare` leaves it out)" in out
    assert plugins(relay) == {"only": ["night-shift", OURS]}
    assert set(states(relay).values()) == {"loaded"}


def test_only_may_leave_out_even_that(relay: Relay):
    done = relay("plugins", "only", "relay.delivery", "relay.prompt", "--bare").worked()

    assert "no session is reached" in done.err
    assert {name for name, state in states(relay).items() if state == "loaded"} == {
        "relay.delivery",
        "relay.prompt",
    }


def test_ours_is_not_added_where_it_is_named(relay: Relay):
    relay("plugins", "only", "Agent_Relay.Codex").worked()

    assert plugins(relay) == {"only": ["Agent_Relay.Codex"]}


def test_only_is_undone(relay: Relay):
    relay("plugins", "only", "relay.echo").worked()
    assert "relay.echo" in relay("plugins", "only").worked().out

    relay("plugins", "only", "--undo").worked()

    assert relay("plugins", "only", "--json").worked().json["only"] is None
    assert "everything that is installed" in relay("plugins", "only").worked().out
    assert "takes no names" in relay("plugins", "only", "x", "--undo").failed(2)
    assert "--bare" in relay("plugins", "only", "--bare").failed(2)


# --- order -----------------------------------------------------------------------------------


def test_an_order_is_set_changed_shown_and_undone(relay: Relay):
    relay.write_config("# mine\n[hub]\nport = 0\n")

    relay("plugins", "order", "relay.prompt", "relay.delivery").worked()
    relay("plugins", "order", "relay.delivery", "relay.prompt").worked()

    assert relay.config.read_text() == (
        '# mine\n[hub]\nport = 0\n\n[plugins]\norder = ["relay.delivery", "relay.prompt"]\n'
    )
    assert relay("plugins", "order", "--json").json["order"] == ["relay.delivery", "relay.prompt"]
    assert f"set in {relay.config}:6" in relay("plugins", "order").worked().out
    relay("plugins", "order", "--undo").worked()
    assert relay.config.read_text().strip() == "# mine\n[hub]\nport = 0"
    assert "no order is set" in relay("plugins", "order").worked().out
    assert "takes no names" in relay("plugins", "order", "x", "--undo").failed(2)


# --- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["block", "only", "order"])
def test_a_broken_file_is_refused_with_its_line_and_left_alone(relay: Relay, command: str):
    broken = "[hub]\nport = 0\n[plugins]\nblock = [\n"
    relay.write_config(broken)

    assert f"{relay.config}:" in relay("plugins", command, "relay.echo").failed(4)
    assert relay.config.read_text() == broken


def test_a_file_that_others_may_write_is_refused(relay: Relay):
    relay.write_config(MINE)
    relay.config.chmod(0o666)

    assert "chmod go-w" in relay("plugins", "block", "relay.claims").failed(4)
    assert relay.config.read_text() == MINE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plugins.block = []  # none\n", 'plugins.block = ["relay.echo"]  # none\n'),
        (
            "plugins = {block = ['relay.claims']}\n",
            "plugins = {block = ['relay.claims', \"relay.echo\"]}\n",
        ),
        (
            "[plugins]\n\n[hub]\nport = 0\n",
            '[plugins]\nblock = ["relay.echo"]\n\n[hub]\nport = 0\n',
        ),
        ("[plugin.x]\na = 1\n", '[plugin.x]\na = 1\n\n[plugins]\nblock = ["relay.echo"]\n'),
        ("# a comment", '# a comment\n\n[plugins]\nblock = ["relay.echo"]\n'),
        (
            "[hub]\r\nport = 0\r\n",
            '[hub]\r\nport = 0\r\n\r\n[plugins]\r\nblock = ["relay.echo"]\r\n',
        ),
    ],
    ids=["dotted", "inline", "empty-table", "last-table", "no-newline", "crlf"],
)
def test_however_the_file_is_written_it_is_read_back_as_meant(
    relay: Relay, text: str, expected: str
):
    relay.write_config(text)

    relay("plugins", "block", "relay.echo").worked()

    assert plugins(relay)["block"][-1:] == ["relay.echo"]
    assert relay.config.read_bytes().decode() == expected
