"""What a rollout file shows of a message that Codex was killed over."""

import json

import pytest

from relay_plugins.codex.remnant import remnant_turn

MARK = "0" * 32


def line(kind: str, **payload: object) -> bytes:
    return json.dumps({"timestamp": "…", "type": kind, "payload": payload}).encode()


def began(turn: str) -> bytes:
    return line("event_msg", type="task_started", turn_id=turn)


def for_the_model(text: str, role: str = "user") -> bytes:
    return line("response_item", type="message", role=role, content=[{"text": text}])


def for_the_history(text: str) -> bytes:
    item = {"type": "UserMessage", "client_id": text}
    return line("event_msg", type="item_completed", turn_id="b", item=item)


def test_a_message_that_only_the_model_has_is_a_remnant_of_its_turn():
    lines = [began("a"), for_the_model("hello"), began("b"), for_the_model(f"[{MARK}]")]

    assert remnant_turn(lines, MARK) == "b"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="nothing"),
        pytest.param([began("b"), for_the_model("hello")], id="another message"),
        pytest.param(
            [began("b"), for_the_model(MARK), for_the_history(f"relay:{MARK}")], id="both copies"
        ),
        pytest.param([began("b"), for_the_history(f"relay:{MARK}")], id="the history's copy"),
        pytest.param([began("b"), for_the_model(MARK, "assistant")], id="an agent's own words"),
        pytest.param([for_the_model(MARK)], id="no turn is known"),
        pytest.param([began("b"), b'{"type":"response_item", ' + MARK.encode()], id="half a line"),
    ],
)
def test_anything_else_is_none(lines: list[bytes]):
    assert remnant_turn(lines, MARK) is None


def test_lines_that_mean_nothing_are_skipped():
    lines = [b"", b"\xff", b"[]", b'{"payload":5}', began("b"), b"{", for_the_model(MARK)]

    assert remnant_turn(lines, MARK) == "b"
