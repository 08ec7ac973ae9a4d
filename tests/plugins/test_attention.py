"""What a session is not to hear yet."""

import pytest

from relay_core import (
    HUB,
    OPERATOR,
    AgentId,
    Credential,
    Message,
    Policy,
    Sender,
    Session,
    Verdict,
)
from relay_core.testing import Asked
from values import NOW_MS, message, session

on_message = Asked("relay.attention").on_message

UNTIL_MS = NOW_MS + 60_000
QUIET = Verdict.hold("quiet", until_ms=UNTIL_MS)
NEEDS_YES = Verdict.hold("needs_yes")


def quiet(**fields: object) -> Session:
    return session(quiet_until_ms=UNTIL_MS, **fields)


def by(name: str, credential: Credential, **fields: object) -> Message:
    return message(1, name, sender=Sender(id=AgentId(name), credential=credential), **fields)


def test_what_comes_in_while_the_session_is_quiet_waits_for_the_end():
    assert on_message(message(), quiet()) == QUIET
    assert on_message(by(HUB, Credential.HUB), quiet()) == QUIET


@pytest.mark.parametrize("until_ms", [None, NOW_MS - 1, NOW_MS])
def test_nothing_is_held_before_the_quiet_and_from_its_end_on(until_ms: int | None):
    assert on_message(message(), session(quiet_until_ms=until_ms)) is None


def test_what_the_user_sends_comes_through_and_who_only_bears_the_name_does_not():
    assert on_message(by(OPERATOR, Credential.USER), quiet()) is None
    assert on_message(by(OPERATOR, Credential.AGENT), quiet()) == QUIET


@pytest.mark.parametrize(
    ("urgent", "allowed", "verdict"),
    [(True, True, None), (True, False, QUIET), (False, True, QUIET)],
)
def test_urgent_mail_of_who_may_interrupt_comes_through(
    urgent: bool,  # noqa: FBT001
    allowed: bool,  # noqa: FBT001
    verdict: Verdict | None,
):
    policy = Policy(urgent_from=("builder",) if allowed else ("operator",))

    assert on_message(message(urgent=urgent), quiet(policy=policy)) == verdict


@pytest.mark.parametrize("names", [("builder",), ("*",), ("operator", "builder")])
def test_who_is_to_be_asked_about_waits_for_a_yes(names: tuple[str, ...]):
    asking = Policy(hold_from=names, urgent_from=("*",))

    assert on_message(message(), session(policy=asking)) == NEEDS_YES
    assert on_message(message(urgent=True), session(policy=asking)) == NEEDS_YES
    assert on_message(message(), quiet(policy=asking)) == NEEDS_YES


def test_neither_the_user_nor_the_hub_itself_needs_a_yes():
    asking = session(policy=Policy(hold_from=("*", "operator")))

    assert on_message(by(OPERATOR, Credential.USER), asking) is None
    assert on_message(by(HUB, Credential.HUB), asking) is None
    assert on_message(by(OPERATOR, Credential.AGENT), asking) == NEEDS_YES


def test_others_are_not_held_where_some_are():
    assert on_message(message(1, "lead"), session(policy=Policy(hold_from=("builder",)))) is None
