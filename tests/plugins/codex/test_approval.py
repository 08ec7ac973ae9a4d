"""The mode that a session is shown with is read from its rollout, never declared."""

import json
from pathlib import Path

import pytest

from relay_core import SettingsError
from relay_plugins.codex.approval import MODES, flags_for, mode_of, read_mode


def context(approval: object, sandbox: object) -> str:
    payload = {"turn_id": "t", "approval_policy": approval, "sandbox_policy": {"type": sandbox}}
    return json.dumps({"timestamp": "…", "type": "turn_context", "payload": payload})


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_asked_for_and_recognized_by_the_same_two_words(mode: str):
    flags = flags_for(mode)

    assert mode_of(flags.approval, flags.sandbox) == mode
    assert flags.arguments() == ("-s", flags.sandbox, "-a", flags.approval)


def test_a_word_that_is_no_mode_is_refused_and_the_modes_are_named():
    with pytest.raises(SettingsError) as caught:
        flags_for("Open ")

    assert caught.value.fix == "use one of open, guarded, read-only"


def test_other_combinations_are_shown_in_codexs_own_words():
    assert mode_of("on-request", "read-only") == "read-only/on-request"


def test_the_newest_turn_tells_the_mode(tmp_path: Path):
    rollout = tmp_path / "rollout.jsonl"
    lines = [
        context("never", "danger-full-access"),
        json.dumps({"type": "response_item", "payload": {"text": 'he said "turn_context"'}}),
        context("on-request", "workspace-write"),
        json.dumps({"type": "event_msg", "payload": {}}),
    ]
    rollout.write_text("\n".join(lines))

    assert read_mode(rollout) == "guarded"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON turn_context",
        '{"type":"turn_context"',
        context(None, "read-only"),
        context("never", None),
        '{"type":"turn_context","payload":[]}',
        '{"type":"turn_context","payload":{"approval_policy":"never","sandbox_policy":"x"}}',
        '{"type":"session_meta","payload":{"approval_policy":"never"}}',
    ],
)
def test_a_rollout_that_does_not_tell_leaves_the_mode_unknown(tmp_path: Path, text: str):
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_text(text)

    assert read_mode(rollout) is None


def test_a_path_that_is_no_file_leaves_the_mode_unknown(tmp_path: Path):
    assert read_mode(tmp_path) is None
    assert read_mode(tmp_path / "missing") is None
    assert read_mode(Path("/dev/zero")) is None


def test_a_line_cut_in_half_by_the_limit_is_skipped(tmp_path: Path):
    rollout = tmp_path / "rollout.jsonl"
    filler = json.dumps({"type": "x", "payload": "y" * 700_000})
    rollout.write_text("\n".join([context("never", "read-only"), filler, filler]))

    assert read_mode(rollout) is None


def test_a_turn_of_an_earlier_terminal_tells_nothing_of_this_one(tmp_path: Path):
    rollout = tmp_path / "rollout.jsonl"
    old, new = (
        json.loads(context(approval, "read-only")) | {"timestamp": f"2026-11-22T12:00:0{at}.500Z"}
        for at, approval in enumerate(("never", "on-request"))
    )
    began_ms = 1_795_348_801_000

    rollout.write_text(json.dumps(old))
    before = read_mode(rollout, began_ms)
    rollout.write_text(f"{json.dumps(old)}\n{json.dumps(new)}")
    after = read_mode(rollout, began_ms)

    assert (before, after) == (None, "read-only/on-request")
