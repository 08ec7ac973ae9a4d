import pytest

from relay_core import Abilities, Policy
from relay_core.testing import Decisions, Harness, HarnessSession

POLICY = Policy(strategy="prefer-idle", urgent_from=("pager",), steer_from=("*",))


@pytest.fixture(autouse=True)
def prefer_idle(relay: Harness):
    relay.load("prefer-idle")
    relay.configure("prefer-idle", young_s=5, at_most_min=10)
    relay.deliver_with(POLICY)


def in_a_tool(relay: Harness, for_s: float = 60, **given: Abilities) -> HarnessSession:
    """A session whose turn has been running a tool for a while."""
    session = relay.open(**given)
    session.type("build it")
    session.run_a_tool()
    relay.advance(for_s)
    return session


def test_at_rest_a_message_starts_a_turn_as_ever(relay: Harness, decisions: Decisions):
    sent = relay.send(relay.open(), "hello", from_="builder")

    relay.until(sent, within_s=30)

    assert decisions.chosen("choose_delivery", message=sent.id).plugin == "relay.delivery"


def test_a_young_turn_is_joined(relay: Harness, decisions: Decisions):
    session = relay.open()
    session.type("build it")
    sent = relay.send(session, "use the other branch", from_="builder")

    relay.until(sent, within_s=30)

    assert "the turn has just begun" in str(decisions)


def test_a_long_tool_run_is_left_alone_until_it_ends(relay: Harness):
    session = in_a_tool(relay)
    sent = relay.send(session, "use the other branch", from_="builder")

    relay.advance(5 * 60)
    assert sent.state == "queued"
    assert session.status.waiting == "busy"
    session.end_tool()
    relay.until(sent, within_s=60)

    assert len(session.prompts) == 1


def test_a_message_waits_for_some_minutes_and_no_longer(relay: Harness, decisions: Decisions):
    session = in_a_tool(relay)
    sent = relay.send(session, "use the other branch", from_="builder")

    relay.advance(9 * 60)
    assert sent.state == "queued"
    relay.until(sent, "injecting", "uncertain", within_s=2 * 60)

    assert "it has waited long enough" in str(decisions)
    session.end_tool()
    relay.until(sent, within_s=60)


def test_what_is_urgent_interrupts_from_those_who_may(relay: Harness):
    session = in_a_tool(relay)
    ordinary = relay.send(session, "look, a bird", from_="builder", urgent=True)
    relay.advance(60)
    assert ordinary.state == "queued"

    urgent = relay.send(session, "stop, it burns", from_="pager", urgent=True)
    relay.until(urgent, within_s=60)

    assert [part.body for part in session.parts] == ["look, a bird", "stop, it burns"]


def test_a_request_waits_for_a_turn_of_its_own(relay: Harness):
    session = relay.open()
    session.type("build it")
    session.run_a_tool()
    sent = relay.send(session, "is it green?", from_="builder", type="request")

    relay.advance(15 * 60)
    assert sent.state == "queued"
    session.end_tool()

    relay.until(sent, within_s=60)


def test_an_agent_that_cannot_be_steered_is_waited_for(relay: Harness):
    session = in_a_tool(relay, for_s=0, abilities=Abilities())
    sent = relay.send(session, "hello", from_="builder")

    relay.advance(15 * 60)
    assert sent.state == "queued"
    session.end_tool()

    relay.until(sent, within_s=60)


def test_for_another_strategy_it_has_no_answer(relay: Harness, decisions: Decisions):
    relay.deliver_with(Policy(sender_strategies={"builder": "prefer-idle"}))
    session = in_a_tool(relay)
    sent = relay.send(session, "hello", from_="tester")

    relay.until(sent, "injecting", "uncertain", within_s=60)

    assert decisions.chosen("choose_delivery", message=sent.id).plugin == "relay.delivery"
    session.end_tool()
    relay.until(sent, within_s=60)
