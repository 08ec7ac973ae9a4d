"""Recorded conversations with a real Codex 0.169, read again.

Each file in `transcripts` is what one client sent and received, trimmed. "draining" and "failed
turns" were recorded by a subscriber, the others by clients beside a terminal UI.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from relay_plugins.codex.client import CallRefused
from relay_plugins.codex.evidence import rest_of
from relay_plugins.codex.injection import meaning_of
from relay_plugins.codex.protocol import (
    Answered,
    AnsweredLate,
    Asked,
    Event,
    Greeted,
    Ignored,
    Notified,
    Protocol,
    Refused,
)
from relay_plugins.codex.wire import (
    ClientInfo,
    Empty,
    LoadedListResult,
    ThreadNamed,
    ThreadReadResult,
    ThreadStarted,
    ThreadStatusChanged,
    TurnsListResult,
    TurnStartResult,
    TurnSteerResult,
)

FOLDER = Path(__file__).parent / "transcripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))

RESULTS: dict[str, type] = {
    "thread/read": ThreadReadResult,
    "thread/loaded/list": LoadedListResult,
    "thread/turns/list": TurnsListResult,
    "turn/start": TurnStartResult,
    "turn/steer": TurnSteerResult,
    "turn/interrupt": Empty,
}
NOTIFICATIONS: dict[str, type] = {
    "thread/started": ThreadStarted,
    "thread/status/changed": ThreadStatusChanged,
    "thread/closed": ThreadNamed,
}
T = TypeVar("T")


class Replay:
    """A transcript, gone through once."""

    def __init__(self, name: str) -> None:
        self.events: list[Event] = []
        self.sent: dict[int, str] = {}
        self.spoken: list[str] = []
        protocol = Protocol(ClientInfo(name="replay", version="0"))
        for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
            entry: dict[str, Any] = json.loads(line)
            message = entry["msg"]
            if entry["dir"] == "recv":
                self.events += protocol.receive(json.dumps(message))
            elif message.get("method") == "initialize":
                protocol.start()
            elif "method" in message and "id" in message:
                self.sent[protocol.call(message["method"], Empty())] = message["method"]
            self.spoken += protocol.outgoing()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(params=NAMES)
def replay(request: pytest.FixtureRequest) -> Replay:
    return Replay(str(request.param))


def test_every_recorded_line_means_something(replay: Replay):
    assert len(replay.of(Greeted)) == 1
    assert replay.of(Ignored) == []
    assert replay.of(AnsweredLate) == []


def test_every_recorded_answer_settles_the_call_it_was_given_to(replay: Replay):
    settled = [event.id for event in replay.events if isinstance(event, Answered | Refused)]

    assert settled
    assert len(settled) == len(set(settled))
    assert set(settled) <= set(replay.sent)


def test_nothing_but_the_recorded_calls_is_spoken(replay: Replay):
    methods = [json.loads(line).get("method") for line in replay.spoken]

    assert methods == ["initialize", "initialized", *replay.sent.values()]


def test_the_bodies_of_known_methods_are_read(replay: Replay):
    for event in replay.of(Answered):
        kind = RESULTS.get(replay.sent[event.id])
        if kind is not None:
            msgspec.json.decode(event.result, type=kind)
    for event in replay.of(Notified):
        kind = NOTIFICATIONS.get(event.method)
        if kind is not None:
            msgspec.json.decode(event.params, type=kind)


def statuses(replay: Replay) -> list[str]:
    changed = [
        msgspec.json.decode(event.params, type=ThreadStatusChanged)
        for event in replay.of(Notified)
        if event.method == "thread/status/changed"
    ]
    return [rest_of(each.status).name for each in changed]


def refusals(replay: Replay) -> list[str]:
    return [
        type(meaning_of(CallRefused(replay.sent[event.id], event.error))).__name__
        for event in replay.of(Refused)
        if replay.sent[event.id].startswith("turn/")
    ]


def test_an_unsubscribed_client_is_told_when_turns_begin_and_end():
    replay = Replay("unsubscribed")

    assert statuses(replay)[:4] == ["IN_TURN", "AT_REST", "IN_TURN", "AT_REST"]
    assert replay.of(Asked) == []


def test_a_subscriber_is_asked_for_approvals_and_says_nothing():
    replay = Replay("approvals")

    assert {event.method for event in replay.of(Asked)} == {"item/commandExecution/requestApproval"}


def test_a_thread_is_gone_for_turns_after_codex_was_killed():
    assert refusals(Replay("after-a-kill")) == ["SessionGone"] * 3


def test_a_codex_that_is_shutting_down_is_a_session_that_moved():
    assert refusals(Replay("draining")) == ["SessionMoved"]


def test_a_failed_turn_ends_in_a_rest():
    assert statuses(Replay("failed-turns")).count("AT_REST") >= 2
