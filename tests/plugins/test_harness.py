"""The harness that is shipped to plugin authors, used as they use it."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from relay_core import (
    DeliveryPlan,
    Message,
    Part,
    Prompt,
    Registration,
    RegistrationPatch,
    Relay,
    RelayEvent,
    ReplySent,
    SendRequest,
    Session,
    TurnEnded,
    Verdict,
    WasHeld,
    hookimpl,
)
from relay_core.testing import Decisions, Harness, HarnessError, VirtualClock

HOUR_MS = 3_600_000


class Shout:
    @hookimpl
    def format_prompt(self, messages: Sequence[Message], session: Session) -> Prompt:
        parts = [Part(message_id=each.id, body=each.body.upper()) for each in messages]
        return Prompt(parts=tuple(parts))


class Faulty:
    @hookimpl
    def format_prompt(self, messages: Sequence[Message]) -> Prompt:
        raise ValueError("boo")


class Translator:
    """Holds until a translation stands beside the message, then shows it."""

    @hookimpl
    def on_message(self, message: Message) -> Verdict | None:
        return None if "english" in message.annotations else Verdict.hold("translating")

    @hookimpl
    def format_prompt(self, messages: Sequence[Message]) -> Prompt:
        shown = [
            Part(message_id=each.id, body=msgspec.json.decode(each.annotations["english"]))
            for each in messages
        ]
        return Prompt(parts=tuple(shown))

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        self.relay = relay
        yield

    @hookimpl
    async def on_event(self, event: RelayEvent) -> None:
        if isinstance(event, WasHeld) and event.reason == "translating":
            body = (await self.relay.message(event.message_id)).body
            english = msgspec.Raw(msgspec.json.encode({"guten Tag": "good day"}[body]))
            await self.relay.annotate(event.delivery_id, "english", english)
            await self.relay.release(event.delivery_id)


def test_a_message_becomes_a_turn_and_the_test_sees_the_prompt_and_who_decided(
    relay: Harness, decisions: Decisions
):
    session = relay.open("/projects/shop", label="shop", tags=("web",))
    sent = relay.send(session, "the build is green", from_="builder", subject="build")

    relay.until(sent)

    (prompt,) = session.prompts
    assert "the build is green" in prompt
    assert "build" in dict(session.parts[0].header).values()
    assert decisions.chosen("format_prompt", message=sent.id).plugin == "relay.prompt"
    assert session.agent_id in session.context
    assert relay.send("label:shop", "again").deliveries[0].agent_id == session.agent_id


def test_a_plugin_under_test_is_asked_before_those_that_come_with_the_relay(
    relay: Harness, decisions: Decisions
):
    relay.load(Shout(), "shout")
    session = relay.open()
    sent = relay.send(session, "hello")

    relay.until(sent)

    assert session.parts[0].body == "HELLO"
    assert [each.plugin for each in decisions.of("format_prompt", message=sent.id)] == ["shout"]


def test_hours_pass_at_once(relay: Harness, relay_clock: VirtualClock):
    before = relay_clock.now_ms()

    relay.advance(3_600)

    assert relay_clock.now_ms() == before + HOUR_MS


@pytest.mark.relay(start="2027-03-01 06:30")
def test_a_hold_ends_at_its_time(relay: Harness):
    seven_ms = int(datetime(2027, 3, 1, 7, tzinfo=UTC).timestamp() * 1000)

    class Night:
        @hookimpl
        def on_message(self, session: Session) -> Verdict | None:
            return Verdict.hold("night", seven_ms) if session.now < seven_ms else None

    relay.load(Night(), "night")
    sent = relay.send(relay.open(), "good morning")
    relay.until(sent, "held")
    assert sent.reason == "night"

    relay.until(sent, within_s=2 * 3_600)

    delivered_ms = sent.deliveries[0].delivered_ms or 0
    assert seven_ms <= delivered_ms < seven_ms + 60_000


def test_a_fault_fails_the_test_and_names_the_plugin_the_hook_and_the_cause(relay: Harness):
    relay.load(Faulty(), "faulty")
    sent = relay.send(relay.open(), "hello")

    with pytest.raises(
        HarnessError, match=r"plugin faulty: format_prompt: ValueError: boo"
    ) as what:
        relay.until(sent)

    assert isinstance(what.value.__cause__, ValueError)


@pytest.mark.relay(strict=False)
def test_where_it_is_not_strict_a_fault_is_isolated_and_noted(relay: Harness):
    relay.load(Faulty(), "faulty")
    sent = relay.send(relay.open(), "hello")

    relay.until(sent)

    assert [each.plugin for each in relay.failures] == ["faulty"]


def test_what_was_annotated_is_seen_by_the_decisions_after_the_release(relay: Harness):
    relay.load(Translator(), "translator")
    session = relay.open()
    sent = relay.send(session, "guten Tag")

    relay.until(sent)

    assert session.parts[0].body == "good day"
    assert sent.view.annotations == {}, "what plugins note is nobody else's"


def test_a_session_says_how_much_claimed_work_it_holds(relay: Harness):
    seen: list[int] = []

    class Counter:
        @hookimpl
        def on_message(self, session: Session) -> None:
            seen.append(session.claims)

    relay.load(Counter(), "counter")
    session = relay.open(capabilities=("build",))
    for text in ("one", "two"):
        relay.until(relay.send(session, text, claimable=True))

    assert seen == [0, 1]


def test_a_running_turn_says_since_when_it_runs(relay: Harness, relay_clock: VirtualClock):
    ages: list[int] = []

    class Patient:
        @hookimpl
        def choose_delivery(self, session: Session) -> DeliveryPlan | None:
            if session.turn is None:
                return None
            ages.append(session.now - (session.turn.since_ms or 0))
            return DeliveryPlan.wait("a turn runs", until_ms=session.now + 10_000)

    relay.load(Patient(), "patient")
    session = relay.open()
    session.type("build it")
    session.run_a_tool()
    relay.advance(30)
    sent = relay.send(session, "hello")
    relay.wait_for("asked twice", lambda: len(ages) > 1)
    session.end_tool()
    relay.until(sent)

    assert 30_000 <= ages[0] < 31_000
    assert 40_000 <= ages[1] < 42_000


def test_what_plugins_set_at_registration_comes_before_what_the_test_sets(relay: Harness):
    class Labels:
        @hookimpl
        def on_register(self, registration: Registration) -> RegistrationPatch:
            return RegistrationPatch(label="by-plugin")

    relay.load(Labels(), "labels")
    relay.open(label="by-test", tags=("web",))

    sent = relay.send("label:by-plugin", "hello")
    relay.until(sent)


def test_settings_reach_the_plugin(relay: Harness):
    tables: list[msgspec.Raw] = []

    class Set:
        @hookimpl
        @contextlib.asynccontextmanager
        async def start(self, relay: Relay) -> AsyncGenerator[None]:
            tables.append(relay.table)
            yield

    relay.load(Set(), "set")
    relay.configure("set", greeting="hi")
    relay.open()

    assert msgspec.json.decode(tables[0]) == {"greeting": "hi"}


def test_a_restarted_host_takes_the_sessions_up_again(relay: Harness):
    session = relay.open()
    relay.until(relay.send(session, "one"))
    session.run_a_tool()

    relay.restart()
    sent = relay.send(session, "two")
    relay.advance(1)
    session.end_tool()
    relay.until(sent)

    assert [part.body for part in session.parts] == ["one", "two"]


def test_the_agent_may_crash_and_the_user_type_and_interrupt(relay: Harness):
    session = relay.open()
    session.type("my own words")
    session.interrupt()
    sent = relay.send(session, "hello")
    relay.advance(5)
    assert session.status.waiting == "user_interrupted"
    session.crash(down_s=2)

    relay.until(sent)

    assert session.history.count(session.prompts[0]) == 1


def test_the_end_of_a_turn_names_the_messages_that_it_carried(relay: Harness):
    session = relay.open()
    session.type("my own words")
    session.run_a_tool()
    sent = [relay.send(session, text) for text in ("one", "two")]
    relay.advance(1)
    session.end_tool()

    relay.wait_for("it ended", lambda: any(isinstance(each, TurnEnded) for each in relay.events))

    (ended,) = [each for each in relay.events if isinstance(each, TurnEnded)]
    assert ended.message_ids == tuple(each.id for each in sent)


def test_what_was_held_says_until_when(relay: Harness):
    class Night:
        @hookimpl
        def on_message(self, message: Message) -> Verdict | None:
            return Verdict.hold("night", until_ms=message.created_at + HOUR_MS)

    relay.load(Night(), "night")
    sent = relay.send(relay.open(), "hello")
    relay.until(sent, "held")
    relay.advance(1)

    (held,) = [each for each in relay.events if isinstance(each, WasHeld)]
    assert held.until_ms == sent.view.created_at + HOUR_MS


def test_an_answer_is_what_the_turn_ended_with(relay: Harness):
    session = relay.open()
    session.end_turns_with("it is green")
    asked = relay.send(session, "what is the state of the build?", type="request")

    def answers() -> list[str]:
        found = [each.answer for each in asked.deliveries if each.answer is not None]
        return [relay.message(each.reply_id).body for each in found if each.reply_id is not None]

    relay.wait_for("it is answered", lambda: bool(answers()))
    assert answers() == ["it is green"]
    told = [each for each in relay.events if isinstance(each, ReplySent)]
    assert [each.reply_to for each in told] == [asked.id]
    assert relay.message(told[0].message_id).body == "it is green"


@pytest.mark.relay(real_time=True)
def test_in_real_time_the_clock_is_the_machines(relay: Harness):
    sent = relay.send(relay.open(), "hello")

    relay.until(sent, within_s=30)


def test_what_cannot_be_says_what_can(relay: Harness):
    with pytest.raises(HarnessError, match=r"no plugin 'hello' is installed; there are: relay\."):
        relay.load("hello")
    session = relay.open()
    with pytest.raises(HarnessError, match="load plugins before the first session"):
        relay.load(Shout(), "shout")
    sent = relay.send(session, "hello")
    with pytest.raises(HarnessError, match=r"(?s)after 5 s message 1 is.*delivered.*\* format_"):
        relay.until(sent, "dead", within_s=5)


def test_a_plugin_that_is_installed_is_loaded_by_its_name(relay: Harness):
    relay.load("relay.echo")

    relay.open()

    assert "relay.echo" in {each.name for each in relay.plugins}


def test_observers_hear_of_an_answer_by_tool(relay: Harness):
    session = relay.open()
    asked = relay.send(session, "are you there?", from_="builder")
    relay.until(asked)
    host = relay._running_now.host

    async def answer() -> int:
        agent = await host.acting("memory", session.status.thread_id, within_s=5)
        assert agent is not None
        request = SendRequest(to="operator", body="here", reply_to=asked.id)
        return (await agent.send(request)).id

    number = relay.run(answer())
    relay.advance(1)

    told = [each for each in relay.events if isinstance(each, ReplySent)]
    assert [(each.message_id, each.reply_to) for each in told] == [(number, asked.id)]
