"""The threads that Codex has on disk."""

import json
import os
from pathlib import Path

import pytest

from relay_plugins.codex.arguments import Wanted
from relay_plugins.codex.saved import find_saved

OLD, NEW, OTHER = (f"01a2035e-65cf-7a23-8732-00000000000{at}" for at in range(3))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "codex"


def save(home: Path, thread: str, cwd: Path, *, at: int, **meta: object) -> None:
    folder = home / "sessions" / "2026" / "11" / "22"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"type": "session_meta", "payload": {"id": thread, "cwd": str(cwd), **meta}},
        {
            "type": "turn_context",
            "payload": {
                "approval_policy": "never",
                "sandbox_policy": {"type": "read-only"},
            },
        },
    ]
    rollout = folder / f"rollout-2026-11-22T12-00-00-{thread}.jsonl"
    rollout.write_text("\n".join(map(json.dumps, lines)))
    os.utime(rollout, (at, at))


def test_the_last_thread_of_a_folder_is_the_one_that_changed_last(home: Path, tmp_path: Path):
    save(home, OLD, tmp_path, at=1_000)
    save(home, NEW, tmp_path, at=2_000, source="vscode", thread_source="user")
    save(home, OTHER, tmp_path / "elsewhere", at=3_000)

    saved = find_saved(home, Wanted(), str(tmp_path))

    assert saved is not None
    assert (saved.thread, saved.flags and saved.flags.sandbox) == (NEW, "read-only")


@pytest.mark.parametrize("meta", [{"source": "exec"}, {"thread_source": "subagent"}])
def test_what_nobody_sat_in_front_of_is_not_the_last_one(
    home: Path, tmp_path: Path, meta: dict[str, str]
):
    save(home, OLD, tmp_path, at=1_000)
    save(home, NEW, tmp_path, at=2_000, **meta)

    saved = find_saved(home, Wanted(), str(tmp_path))

    assert saved is not None
    assert saved.thread == OLD


def test_a_thread_is_found_by_its_id_wherever_it_worked(home: Path, tmp_path: Path):
    save(home, OTHER, tmp_path / "elsewhere", at=3_000)

    saved = find_saved(home, Wanted(thread=OTHER), str(tmp_path))

    assert saved is not None
    assert saved.thread == OTHER


@pytest.mark.parametrize("thread", [NEW, "a name", "*", "../x"])
def test_what_is_not_there_is_not_found(home: Path, tmp_path: Path, thread: str):
    save(home, OLD, tmp_path, at=1_000)

    assert find_saved(home, Wanted(thread=thread), str(tmp_path)) is None


def test_files_that_cannot_be_read_are_passed_over(home: Path, tmp_path: Path):
    save(home, OLD, tmp_path, at=1_000)
    save(home, NEW, tmp_path, at=2_000)
    newest = next(home.glob(f"sessions/*/*/*/*{NEW}.jsonl"))
    newest.write_bytes(b"\xff{")

    saved = find_saved(home, Wanted(), str(tmp_path))

    assert saved is not None
    assert saved.thread == OLD
