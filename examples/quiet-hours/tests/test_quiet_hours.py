from datetime import UTC, datetime

import pytest

from relay_core import Policy
from relay_core.testing import Decisions, Harness

NIGHT = pytest.mark.relay(start="2027-02-02 06:30")
MORNING_MS = int(datetime(2027, 2, 2, 7, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def quiet_hours(relay: Harness):
    relay.load("quiet-hours")
    relay.configure("quiet-hours", zone="UTC")


@NIGHT
def test_in_the_morning_all_of_it_is_one_digest(relay: Harness, decisions: Decisions):
    session = relay.open()
    sent = [
        relay.send(session, "the build is green", from_="builder", subject="build"),
        relay.send(session, "the tests are red", from_="tester", subject="tests"),
        relay.send(session, "the docs are there", from_="writer", subject="docs"),
    ]
    for each in sent:
        relay.until(each, "held", within_s=30)
    assert {each.reason for each in sent} == {"quiet_hours"}

    for each in sent:
        relay.until(each, within_s=3_600)

    assert len(session.prompts) == 1
    assert [dict(part.header)["Subject"] for part in session.parts] == ["build", "tests", "docs"]
    assert MORNING_MS <= (sent[0].deliveries[0].delivered_ms or 0) < MORNING_MS + 60_000
    assert decisions.chosen("choose_delivery", message=sent[0].id).plugin == "quiet-hours"


@NIGHT
def test_a_single_message_comes_as_itself(relay: Harness):
    session = relay.open()
    sent = relay.send(session, "the build is green", from_="builder")

    relay.until(sent, within_s=3_600)

    assert [part.body for part in session.parts] == ["the build is green"]


@NIGHT
def test_what_the_user_sends_and_what_may_interrupt_comes_at_once(relay: Harness):
    relay.deliver_with(Policy(urgent_from=("pager",)))
    session = relay.open()

    relay.until(relay.send(session, "are you there?"), within_s=60)
    relay.until(relay.send(session, "it burns", from_="pager", urgent=True), within_s=60)
    relay.until(
        relay.send(session, "look, a bird", from_="builder", urgent=True), "held", within_s=60
    )


@NIGHT
def test_a_request_of_the_night_gets_a_turn_of_its_own(relay: Harness):
    session = relay.open()
    sent = [
        relay.send(session, "one", from_="builder"),
        relay.send(session, "two", from_="builder"),
        relay.send(session, "is it green?", from_="builder", type="request"),
    ]

    for each in sent:
        relay.until(each, within_s=3_600)

    assert len(session.prompts) == 2
    assert session.parts[-1].body == "is it green?"


@NIGHT
def test_the_digest_waits_for_the_end_of_a_running_turn(relay: Harness):
    session = relay.open()
    sent = [relay.send(session, text, from_="builder") for text in ("one", "two")]
    session.type("an early start")
    session.run_a_tool()

    relay.advance(3_600)
    assert session.prompts == ()
    session.end_tool()
    for each in sent:
        relay.until(each, within_s=60)

    assert len(session.prompts) == 1


@pytest.mark.relay(start="2027-02-01 12:00")
def test_at_day_nothing_is_held(relay: Harness):
    relay.until(relay.send(relay.open(), "hello", from_="builder"), within_s=60)


@pytest.mark.relay(start="2027-03-28 05:30")  # 7:30 in Berlin, where this night lost an hour
def test_the_clock_is_the_zones_also_when_it_is_changed(relay: Harness):
    relay.configure("quiet-hours", zone="Europe/Berlin", to=8)
    sent = relay.send(relay.open(), "hello", from_="builder")

    relay.until(sent, within_s=3_600)

    eight_ms = int(datetime(2027, 3, 28, 6, tzinfo=UTC).timestamp() * 1000)
    assert eight_ms <= (sent.deliveries[0].delivered_ms or 0) < eight_ms + 60_000


@pytest.mark.relay(strict=False)
def test_a_night_without_an_end_is_refused_and_the_plugin_named(relay: Harness):
    relay.configure("quiet-hours", **{"from": 7, "to": 7})
    relay.open()

    (failure,) = relay.failures
    assert (failure.plugin, failure.hook) == ("quiet-hours", "start")
    assert "the night would never end" in failure.detail
