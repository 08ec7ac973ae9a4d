"""`agent-relay config`: each value and where it comes from; looking changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay_cli.variables import VARIABLES
from relay_core import Reach
from user_commands import Relay

SECRET = "a-token-that-nobody-may-see"


def shown(relay: Relay, **environ: str) -> dict[str, dict[str, Any]]:
    done = relay("config", "--json", environ=environ).worked()
    return {one["key"]: one for one in done.json["config"]}


def write_profiles(relay: Relay, text: str) -> Path:
    file = relay.config.parent / "profiles.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_every_value_says_where_it_comes_from(relay: Relay):
    relay.write_config('[hub]\nport = 4900\n[hub.limits]\nttl = 90\n[delivery.senders."a"]\n')

    found = shown(relay, AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS="1500")

    def told(key: str) -> tuple[Any, str]:
        return found[key]["value"], found[key]["origin"].replace(str(relay.home), "~")

    file = "~/.config/agent-relay/config.toml"
    assert told("hub.port") == (4900, f"{file}:2")
    assert told("hub.limits.ttl") == ("90s", f"{file}:4")
    assert told("hub.limits.keep") == ("30d", "default")
    assert told("host.heartbeat") == (
        "1500ms",
        "environment AGENT_RELAY_CODEX_HEARTBEAT_INTERVAL_MS",
    )
    assert told("hub.url") == ("http://127.0.0.1:4900", "default")
    assert told("places.config_file") == (str(relay.config), "environment HOME")
    assert told("codex.home") == (str(relay.home / ".codex"), "environment HOME")


def test_every_variable_stands_beside_what_it_sets(relay: Relay):
    found = shown(relay)

    named = {one["variable"]: one["counts"] for one in found.values() if one["variable"]}
    assert named == {
        each.name: each.reach.value for each in VARIABLES if each.reach is not Reach.TEST
    }


def test_the_places_move_with_the_variable_that_moves_them(relay: Relay, tmp_path: Path):
    found = shown(relay, AGENT_RELAY_HOME=str(tmp_path), CODEX_HOME=str(tmp_path / "codex"))

    assert found["places.data"]["value"] == str(tmp_path / "data")
    assert found["places.data"]["origin"] == "environment AGENT_RELAY_HOME"
    assert found["codex.home"]["value"] == str(tmp_path / "codex")


def test_the_token_is_never_shown(relay: Relay):
    for arguments in (["config"], ["config", "--json"], ["config", "hub.token"]):
        done = relay(*arguments, environ={"AGENT_RELAY_TOKEN": SECRET}).worked()
        assert SECRET not in done.out + done.err
        assert "(set)" in done.out
    assert relay("config", "hub.token").worked().out == "-\n"

    relay.data.mkdir(parents=True)
    (relay.data / "token").write_text(f"{SECRET}\n")
    (relay.data / "token").chmod(0o600)
    found = shown(relay)["hub.token"]
    assert (found["value"], found["origin"]) == ("(set)", str(relay.data / "token"))


def test_what_a_session_is_to_be_comes_from_environment_then_profile_then_default(relay: Relay):
    file = write_profiles(
        relay,
        '{"frontend": {"label": "Front", "tags": ["ui"], "approval": "guarded",'
        f' "match": "{relay.home}"}}, "backend": {{"label": "Back", "channels": ["db"]}}}}',
    )

    found = shown(relay, AGENT_RELAY_TAGS="a, b,,a")
    told = {key: (one["value"], one["origin"]) for key, one in found.items()}
    assert told["session.profile"] == ("frontend", f"match in {file}")
    assert told["session.label"] == ("Front", "profile frontend")
    assert told["session.tags"] == (["a", "b"], "environment AGENT_RELAY_TAGS")
    assert told["session.capabilities"] == (["chat"], "default")
    assert told["session.approval"] == ("guarded", "profile frontend")
    assert told["session.sandbox"] == ("workspace-write", "session.approval")
    assert told["session.approval_policy"] == ("on-request", "session.approval")

    found = shown(relay, AGENT_RELAY_PROFILE="backend", AGENT_RELAY_CODEX_SANDBOX="read-only")
    told = {key: (one["value"], one["origin"]) for key, one in found.items()}
    assert told["session.profile"] == ("backend", "environment AGENT_RELAY_PROFILE")
    assert told["session.label"] == ("Back", "profile backend")
    assert told["session.channels"] == (["db"], "profile backend")
    assert told["session.approval"] == (None, "default")
    assert told["session.sandbox"] == ("read-only", "environment AGENT_RELAY_CODEX_SANDBOX")


def test_what_counts_for_one_way_of_starting_says_so(relay: Relay):
    done = relay("config", environ={"AGENT_RELAY_LABEL": "x"}).worked()

    _, _, below = done.out.partition("These count for `agent-relay-codex start` only")
    label = next(line.split() for line in below.splitlines() if "session.label" in line)
    assert label == ["session.label", "x", "environment", "AGENT_RELAY_LABEL", "AGENT_RELAY_LABEL"]
    assert "hub.port" not in below


def test_one_value_is_printed_alone(relay: Relay):
    assert relay("config", "hub.port").worked().out == "4850\n"
    assert relay("config", "AGENT_RELAY_CODEX_RIG").worked().out == "codex-live\n"
    assert relay("config", "delivery.urgent_from").worked().out == '["operator"]\n'
    assert relay("config", "hub.port", "--json").worked().json["config"][0]["value"] == 4850
    assert relay("config", "AGENT_RELAY_HOME").worked().out == f"{relay.data}\n"


def test_what_stands_below_a_key_is_shown_together(relay: Relay):
    done = relay("config", "hub.limits", "--json").worked()

    assert {one["key"].rpartition(".")[0] for one in done.json["config"]} == {"hub.limits"}


def test_a_key_that_does_not_exist_is_a_typing_mistake(relay: Relay):
    assert "did you mean hub.port?" in relay("config", "hub.prot").failed(2)
    assert "agent-relay config" in relay("config", "zzz").failed(2)


def test_a_value_that_means_nothing_is_named_beside_the_others(relay: Relay):
    found = shown(relay, AGENT_RELAY_CODEX_SANDBOX="none", AGENT_RELAY_PROFILE="nobody")

    assert "is no sandbox" in found["session.sandbox"]["problem"]
    assert "no such file" in found["session.profile"]["problem"]
    assert found["session.label"]["problem"] == "depends on the profile"
    told = relay("config", "session.sandbox", environ={"AGENT_RELAY_CODEX_SANDBOX": "none"})
    assert "is no sandbox" in told.failed(4)


def test_a_broken_config_file_ends_it_with_the_line(relay: Relay):
    relay.write_config("[hub]\nprot = 1\n")

    assert f"{relay.config}:2" in relay("config").failed(4)


def test_looking_makes_no_files(relay: Relay):
    relay("config").worked()

    assert list(relay.home.iterdir()) == []


def test_the_running_host_says_where_its_hub_is(relay: Relay):
    url = relay.up()["url"]

    found = shown(relay)["hub.url"]
    assert (found["value"], found["origin"]) == (url, "the running host")
    assert json.loads(json.dumps(found))["variable"] == "AGENT_RELAY_URL"


@pytest.mark.parametrize("name", ["AGENT_RELAY_URL", "AGENT_RELAY_TOKEN"])
def test_a_broken_host_wide_variable_ends_it(relay: Relay, name: str):
    assert name in relay("config", environ={name: "two words"}).failed(4)
