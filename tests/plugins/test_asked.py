"""One plugin asked one question at a time, as authors test their decisions."""

import itertools
from collections.abc import Generator, Sequence

import pytest

from relay_core import DeliveryPlan, Message, Prompt, Verdict, hookimpl
from relay_core.answers import WrongAnswer
from relay_core.testing import Asked, HarnessError, sample_message, sample_session


class Picky:
    @hookimpl
    def on_message(self, message: Message) -> Verdict | None:
        return Verdict.skip("loud") if message.urgent else None


class Fickle:
    def __init__(self) -> None:
        self.turns = itertools.count(1)

    @hookimpl
    def choose_delivery(self, messages: Sequence[Message]) -> DeliveryPlan:
        return DeliveryPlan.wait(f"turn {next(self.turns)}")


class Signs:
    @hookimpl(wrapper=True)
    def format_prompt(self) -> Generator[None, Prompt, Prompt]:
        inner = yield
        return Prompt(header=inner.header, parts=inner.parts, footer="signed")


class Wrong:
    @hookimpl
    def on_claim(self, message: Message) -> str:
        return "yes"


def test_it_says_what_the_plugin_says_and_none_where_it_is_silent():
    picky = Asked(Picky())

    assert picky.on_message(sample_message(urgent=True), sample_session()) == Verdict.skip("loud")
    assert picky.on_message(sample_message(), sample_session()) is None
    assert picky.choose_delivery([sample_message()], sample_session()) is None
    assert picky.format_prompt([sample_message()], sample_session()) is None
    assert picky.format_context(sample_session()) is None


def test_two_answers_to_the_same_question_are_a_fault():
    with pytest.raises(HarnessError, match=r"another answer: .*turn 1.*turn 2"):
        Asked(Fickle()).choose_delivery([sample_message()], sample_session())


def test_a_wrapper_is_asked_beside_the_plugins_that_come_with_the_relay():
    signed = Asked(Signs(), beside_built_in=True)

    prompt = signed.format_prompt([sample_message()], sample_session())

    assert prompt is not None
    assert prompt.footer == "signed"
    assert prompt.parts[0].body == "body 1"


def test_a_wrong_answer_is_refused_as_a_host_refuses_it():
    with pytest.raises(WrongAnswer, match="it must be bool or None, not str"):
        Asked(Wrong()).on_claim(sample_message(), sample_session())
