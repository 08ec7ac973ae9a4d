import logging

import pytest

from relay_core.testing import Decisions, Harness

# Written in pieces, so that nobody takes them for real ones.
TOKEN = "ghp_" + "a1" * 18
KEY = "AKIA" + "B2" * 8
PEM = "-----BEGIN PRIVATE" + " KEY-----\nabc\ndef\n-----END PRIVATE" + " KEY-----"


@pytest.fixture(autouse=True)
def redaction(relay: Harness):
    relay.load("redaction")


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        (TOKEN, "GitHub token"),
        (KEY, "AWS key"),
        (PEM, "private key"),
        ("sk-" + "c3" * 12, "API key"),
        ("xoxb-" + "123456-abcdef", "Slack token"),
        ("eyJ" + "a" * 10 + "." + "b" * 10 + "." + "c" * 10, "web token"),
    ],
)
def test_a_secret_is_replaced_by_its_kind_and_counted(relay: Harness, secret: str, kind: str):
    session = relay.open()
    sent = relay.send(session, f"use {secret} or {secret}, both work", from_="builder")

    relay.until(sent)

    (part,) = session.parts
    assert part.body == f"use [redacted: {kind}] or [redacted: {kind}], both work"
    assert dict(part.header)["Redacted"] == f"2 x {kind}"
    assert secret not in session.prompts[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 it is", "password=[redacted: password] it is"),
        ("Password: hunter2", "Password: [redacted: password]"),
        ("Authorization: Bearer " + "d4" * 10, "Authorization: Bearer [redacted: bearer token]"),
    ],
)
def test_what_stands_beside_a_secret_stays(relay: Harness, text: str, shown: str):
    session = relay.open()

    relay.until(relay.send(session, text, from_="builder"))

    assert session.parts[0].body == shown


def test_headers_are_redacted_too_and_in_every_part(relay: Harness):
    session = relay.open()
    session.type("a turn of the user's")
    session.run_a_tool()
    texts = ("one", f"two {KEY}")
    sent = [relay.send(session, each, from_="builder", subject=f"about {TOKEN}") for each in texts]
    session.end_tool()

    for each in sent:
        relay.until(each)

    assert [dict(part.header)["Subject"] for part in session.parts] == [
        "about [redacted: GitHub token]",
        "about [redacted: GitHub token]",
    ]
    assert dict(session.parts[1].header)["Redacted"] == "1 x GitHub token, 1 x AWS key"


def test_where_there_is_nothing_nothing_changes(relay: Harness, decisions: Decisions):
    session = relay.open()
    sent = relay.send(session, "the build is green, ask ann@example.com", from_="builder")

    relay.until(sent)

    assert session.parts[0].body == "the build is green, ask ann@example.com"
    assert "Redacted" not in dict(session.parts[0].header)
    assert session.agent_id in session.context
    assert decisions.of("format_context", plugin="redaction") == ()


def test_addresses_and_patterns_of_the_users_own_are_set_in_the_table(relay: Harness):
    relay.configure("redaction", email=True, patterns={"order number": r"ORD-\d{8}"})
    session = relay.open()

    relay.until(relay.send(session, "ask ann@example.com for ORD-12345678", from_="builder"))

    assert session.parts[0].body == "ask [redacted: e-mail address] for [redacted: order number]"


def test_the_trace_names_the_plugin_and_nothing_keeps_the_secret(
    relay: Harness, decisions: Decisions, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    sent = relay.send(relay.open(), f"use {TOKEN}", from_="builder")

    relay.until(sent)

    assert decisions.chosen("format_prompt", message=sent.id).plugin == "redaction"
    assert TOKEN not in str(decisions)
    assert TOKEN not in caplog.text


@pytest.mark.relay(strict=False)
@pytest.mark.parametrize("table", [{"patterns": {"half": "("}}, {"emails": True}])
def test_a_wrong_table_withholds_every_text(relay: Harness, table: dict[str, object]):
    relay.configure("redaction", **table)
    session = relay.open()

    relay.until(relay.send(session, f"use {TOKEN}", from_="builder", subject="a key"))

    assert session.parts[0].body.startswith("[withheld: ")
    assert TOKEN not in session.prompts[0]
    assert "redaction" in {each.plugin for each in relay.failures}
