"""A user who has installed nothing but bad plugins gets mail all the same, and is told."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from installed_plugins import install
from user_commands import Relay

HEAD = "import time, warnings\nfrom relay_core import RelayDeprecated, hookimpl\n"
BAD: Mapping[str, tuple[str, str, str]] = {
    "raises": (
        "@hookimpl\ndef format_prompt(messages):\n    raise ValueError('boo')\n",
        "loaded",
        "format_prompt: ValueError: boo",
    ),
    "hangs": (
        "@hookimpl\ndef choose_delivery(messages):\n    time.sleep(2)\n",
        "set-aside",
        "choose_delivery: took longer than 1 s and is not asked any more",
    ),
    "wrong-type": (
        "@hookimpl\ndef on_message(message):\n    return 'skip'\n",
        "loaded",
        "on_message: wrong answer: it must be Verdict or None, not str",
    ),
    "misspelt": (
        "@hookimpl\ndef on_mesage(message): ...\n",
        "failed",
        "there is no hook on_mesage (did you mean on_message?)",
    ),
    "argument": (
        "@hookimpl\ndef on_message(mesage): ...\n",
        "failed",
        "on_message has no argument mesage (did you mean message?)",
    ),
    "coroutine": (
        "@hookimpl\nasync def on_claim(message): ...\n",
        "failed",
        "on_claim must be a plain function, not a coroutine",
    ),
    "broken": (
        "import no_such_module\n",
        "failed",
        "broken-dist cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "relay.better": (
        "@hookimpl\ndef on_claim(message): ...\n",
        "failed",
        "relay.better-dist may not use a name of relay.*",
    ),
    "young": (
        "@hookimpl\ndef on_message(weather): ...\n",
        "failed",
        "on_message has no argument weather (it requires agent-relay-codex>=9.1, this is ",
    ),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Hub, host and an echo agent among bad plugins, and one that is old."""
    user = Relay(tmp_path_factory.mktemp("bad") / "home", in_process=True)
    for name, (code, _, _) in BAD.items():
        requires = ("agent-relay-codex>=9.1",) if name == "young" else ()
        install(user, name, HEAD + code, requires=requires)
    old = "warnings.warn('on_claim goes in 9.0', RelayDeprecated)\n@hookimpl\ndef on_claim(): ...\n"
    install(user, "old", HEAD + old)
    user.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    # A warning that is made an error keeps no plugin out, and no host.
    user.up(environ={**user.environ, "PYTHONWARNINGS": "error::DeprecationWarning:old_dist"})
    user("send", "echo", "hello", "--wait", "30").worked()
    yield user
    user.end()


@pytest.fixture(scope="module")
def rows(served: Relay) -> dict[str, Any]:
    listed = served("plugins", "--json").worked().json["plugins"]
    return {row["name"]: row for row in listed if not row["name"].startswith("relay.")} | {
        row["name"]: row for row in listed if row["name"] == "relay.better"
    }


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plugin_is_shown_with_its_distribution_and_what_it_did(
    rows: dict[str, Any], name: str
):
    _, state, reason = BAD[name]

    assert rows[name]["distribution"] == f"{name}-dist"
    assert rows[name]["state"] == state
    assert rows[name]["reason"].startswith(reason)


def test_mail_arrives_as_the_built_in_plugins_have_it(served: Relay):
    sent = served("send", "echo", "hello again", "--wait", "30", "--json").worked().json

    assert [each["state"] for each in sent["deliveries"]] == ["delivered"]
    why = served("show", str(sent["id"]), "--why").worked().out
    assert "relay.prompt" in why
    assert "boo" in why


def test_what_is_deprecated_is_a_note_and_no_fault(served: Relay, rows: dict[str, Any]):
    assert (rows["old"]["state"], rows["old"].get("reason")) == ("loaded", None)
    assert rows["old"]["notes"][0].startswith("on_claim goes in 9.0 (old_dist.py:")
    listed = served("plugins").worked().out
    assert "on_claim goes in 9.0" in listed


def test_the_log_names_each_of_them_with_its_distribution(served: Relay):
    log = "\n".join(file.read_text() for file in served.data.rglob("host.log"))

    assert "plugin raises of raises-dist: format_prompt: ValueError: boo" in log
    assert "plugin hangs of hangs-dist: choose_delivery: took longer" in log
    assert "plugin old of old-dist: on_claim goes in 9.0" in log
