"""`agent-relay plugins block`, `only` and `order`: config.toml as its user wrote it, but for one
value."""

import tomllib
from pathlib import Path

import pytest

from relay_cli.plugin_choice import with_blocked, without_blocked, written
from relay_core.settings import PluginSettings
from user_commands import Relay

ECHO = PluginSettings(block=("relay.echo",))


@pytest.fixture
def relay(short_path: Path):
    made = Relay(short_path, in_process=True)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[plugins]\nblock = ["relay.echo", "relay.codex"]\n'),
        (
            '# mine\n[plugins]\n# loud\nblock = ["relay.echo"]\n[hub]\nport = 0\n',
            '# mine\n[plugins]\n# loud\nblock = ["relay.echo", "relay.codex"]\n[hub]\nport = 0\n',
        ),
        (
            '[plugins]\nblock = [\n  "relay.echo", # noisy\n]\n',
            '[plugins]\nblock = [\n  "relay.echo", # noisy\n  "relay.codex",\n]\n',
        ),
        (
            '[plugins]\nblock = [ "relay.echo", # noisy\n]\n',
            '[plugins]\nblock = ["relay.echo", "relay.codex"]\n',
        ),
        ('plugins.block = ["relay.echo"]\n', 'plugins.block = ["relay.echo", "relay.codex"]\n'),
        (
            'plugins = {block=["relay.echo"]} # inline\n',
            'plugins = {block=["relay.echo", "relay.codex"]} # inline\n',
        ),
    ],
)
def test_one_value_changes_and_the_rest_of_the_file_stays(before: str, after: str):
    was = ECHO if before else PluginSettings()
    names = ("relay.codex",) if before else ("relay.echo", "relay.codex")

    assert written(before, was, with_blocked(was, names)) == after


def test_what_stands_beside_the_others_in_a_list_stays():
    text = '[plugins]\nblock = [\n  "relay.echo", # noisy\n  "relay.codex",\n]\n'
    both = with_blocked(ECHO, ("relay.codex",))

    assert written(text, both, without_blocked(both, ("relay.codex",))) == (
        '[plugins]\nblock = [\n  "relay.echo", # noisy\n]\n'
    )


def test_an_empty_table_is_taken_away():
    assert written('[plugins]\nblock = ["relay.echo"]\n', ECHO, PluginSettings()) == ""


def test_a_blocked_plugin_is_not_loaded_until_that_is_undone(relay: Relay):
    made = relay("plugins", "block", "relay.echo", "--json").worked().json
    listed = {each["name"]: each["state"] for each in relay("plugins", "--json").json["plugins"]}

    assert made["changed"] is True
    assert made["block"] == ["relay.echo"]
    assert listed["relay.echo"] == "blocked"
    assert oct(relay.config.stat().st_mode & 0o777) == "0o600"

    relay("plugins", "block", "relay.echo", "--undo").worked()
    listed = {each["name"]: each["state"] for each in relay("plugins", "--json").json["plugins"]}
    assert listed["relay.echo"] == "loaded"
    assert relay.config.read_text() == ""


def test_only_keeps_the_relays_own_plugins_unless_it_is_bare(relay: Relay):
    kept = relay("plugins", "only", "relay.echo", "--json").worked().json
    bare = relay("plugins", "only", "relay.echo", "--bare", "--json").worked()

    assert kept["only"] == ["agent-relay-codex", "relay.echo"]
    assert bare.json["only"] == ["relay.echo"]
    assert bare.json["unanswered"] == ["choose_delivery", "format_prompt", "format_context"]
    assert "no message is delivered" in bare.err
    assert relay("plugins", "only", "--undo", "--json").worked().json["only"] is None


def test_the_order_is_set_shown_and_taken_away(relay: Relay):
    relay("plugins", "order", "relay.echo", "relay.prompt").worked()

    assert tomllib.loads(relay.config.read_text())["plugins"]["order"] == [
        "relay.echo",
        "relay.prompt",
    ]
    assert "relay.echo, relay.prompt" in relay("plugins", "order").worked().out
    assert relay("plugins", "order", "--undo", "--json").worked().json["order"] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("block", "relay.promt"), "no plugin and no distribution called relay.promt is installed"),
        (("only", "night"), "use --force for what is not installed yet"),
        (("block", "--undo"), "say which ones may load again"),
        (("block", "relay.echo", "--undo"), "relay.echo is not blocked"),
        (("order", "relay.echo", "--undo"), "--undo takes no NAME"),
        (("only", "--bare"), "--bare needs a NAME"),
    ],
)
def test_what_cannot_be_is_refused_and_the_file_stays(
    relay: Relay, words: tuple[str, ...], line: str
):
    refused = relay("plugins", *words)

    assert refused.code == 2
    assert line in refused.err
    assert not relay.config.exists()


def test_a_file_that_cannot_be_read_is_named_with_its_line_and_left_alone(relay: Relay):
    relay.write_config("[plugins\n")

    refused = relay("plugins", "block", "relay.echo")

    assert refused.code == 4
    assert "config.toml:1: not valid TOML" in refused.err
    assert relay.config.read_text() == "[plugins\n"


def test_a_running_host_is_said_to_take_it_up_at_its_next_start(relay: Relay):
    relay.up()

    blocked = relay("plugins", "block", "relay.echo").worked()

    assert "agent-relay down && agent-relay up --detach" in blocked.err


def test_a_config_that_is_a_link_stays_one(relay: Relay):
    relay.write_config("# in the dotfiles\n")
    kept = relay.config.rename(relay.home / "dotfiles.toml")
    relay.config.symlink_to(kept)

    relay("plugins", "block", "relay.echo").worked()

    assert relay.config.is_symlink()
    assert kept.read_text() == '# in the dotfiles\n\n[plugins]\nblock = ["relay.echo"]\n'
