"""Who is installed, who is asked when, and which setting has decided it."""

from typing import Any

import pytest

from user_commands import Relay, Typed

PLAIN = """
from relay_core import hookimpl

@hookimpl
def choose_delivery(messages, session):
    return None
"""
WRAPPING = """
from relay_core import hookimpl

@hookimpl(wrapper=True)
def choose_delivery(messages, session):
    return (yield)
"""


def install(relay: Relay, name: str, code: str) -> None:
    """Put a package with one plugin where the user's Python finds it."""
    folder = relay.home.parent / "packages"
    module = name.replace("-", "_")
    described = folder / f"{module}_dist-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[agent_relay]\n{name} = {module}\n")
    relay.environ["PYTHONPATH"] = str(folder)


@pytest.fixture
def furnished(relay: Relay) -> Relay:
    """A user with three plugins of others, one of them blocked, one asked first."""
    install(relay, "alpha", PLAIN)
    install(relay, "omega", PLAIN)
    install(relay, "around", WRAPPING)
    relay.write_config('[plugins]\nblock = ["around"]\norder = ["omega-dist"]\n')
    return relay


def rows(relay: Relay, *arguments: str) -> dict[str, Any]:
    told = relay("plugins", "list", *arguments, "--json", apart=True).worked().json
    return {row["name"]: row for row in told["plugins"]}


def test_the_place_in_which_a_plugin_is_asked_and_what_decided_it_are_told(furnished: Relay):
    found = rows(furnished)

    assert [found[name]["order"] for name in ("omega", "alpha", "around")] == [1, 2, None]
    assert found["omega"]["setBy"] == [{"key": "plugins.order", "origin": f"{furnished.config}:3"}]
    assert found["around"]["setBy"] == [{"key": "plugins.block", "origin": f"{furnished.config}:2"}]
    assert found["alpha"]["setBy"] == []
    out = furnished("plugins", apart=True).worked().out
    (line,) = [each for each in out.splitlines() if each.startswith("omega")]
    assert line.split() == [
        *("omega", "omega-dist", "1.0", "loaded", "1", "choose_delivery", "plugins.order", "-")
    ]


def test_who_is_asked_for_a_hook_is_told_in_order_with_its_marks(furnished: Relay):
    furnished.write_config("")

    out = furnished("plugins", "list", "--hook", "choose_delivery", apart=True).worked().out

    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["1", "around", "loaded", "wrapper"],
        ["2", "alpha", "loaded", "-"],
        ["3", "omega", "loaded", "-"],
        ["4", "relay.delivery", "loaded", "trylast"],
    ]
    assert list(rows(furnished, "--hook", "choose_delivery")) == [
        *("around", "alpha", "omega", "relay.delivery")
    ]


def test_only_has_decided_about_every_plugin(relay: Relay):
    relay.write_config('[plugins]\nonly = ["relay.prompt"]\n')

    told = relay("plugins", "--json").worked().json["plugins"]

    assert {row["state"]: row["setBy"][0]["key"] for row in told} == {
        "loaded": "plugins.only",
        "blocked": "plugins.only",
    }


def test_a_host_that_has_read_other_settings_is_told_of(relay: Relay):
    relay.up()
    assert not relay("plugins", "--json").worked().json["stale"]
    relay.write_config('[plugins]\nblock = ["relay.echo"]\n')

    done = relay("plugins").worked()

    assert "the settings have changed since the host has read them" in done.err
    assert relay("plugins", "--json").worked().json["stale"]


def test_a_hook_that_nobody_answers_and_one_that_is_none(relay: Relay, typed: Typed):
    relay.write_config('[plugins]\nblock = ["relay.delivery"]\n')

    assert relay("plugins", "list", "--hook", "choose_delivery").worked().out == (
        "no plugin answers choose_delivery\n"
    )
    assert "choose_delivery" in typed("plugins", "list", "--hook", "choose").failed(2)
