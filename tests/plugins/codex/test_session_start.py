"""Codex's SessionStart hook is answered in time, with the context or with why there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_watch import Watch, watch
from fake_app_server import FakeAppServer, fake_app_server
from relay_core import AdapterError, PluginError, SessionSeen, SettingsError
from relay_plugins.codex import adapter, session_start
from relay_plugins.codex.address import CodexProcess, Process
from relay_plugins.codex.session_start import SessionStart, home_of

CONTEXT_LINE = {
    "type": "turn_context",
    "payload": {"approval_policy": "on-request", "sandbox_policy": {"type": "workspace-write"}},
}


class Desk:
    """Answers as the host does: from what it was told of the session."""

    def __init__(self, codex: Watch) -> None:
        self._codex = codex
        self.fault: Exception | None = None

    async def context(self, adapter: str, key: str, *, within_s: float) -> str | None:
        if self.fault is not None:
            raise self.fault
        seen = self._codex.of(SessionSeen, key)
        return f"{adapter} {key} {seen[-1].approval}" if seen else None


@pytest.fixture
async def fake(short_path: Path) -> AsyncIterator[FakeAppServer]:
    """An app-server where plain `codex` would put its own."""
    async with fake_app_server(short_path) as server:
        link = server.codex_home / "app-server-control" / "app-server-control.sock"
        link.parent.mkdir()
        link.symlink_to(server.path)
        yield server


@pytest.fixture
async def codex(fake: FakeAppServer) -> AsyncIterator[Watch]:
    async with watch(fake.codex_home, discover=True) as watching:
        yield watching


class Hook:
    """Calls the operation as the hook command does."""

    def __init__(self, fake: FakeAppServer, codex: Watch) -> None:
        self.fake = fake
        self.desk = Desk(codex)
        self._answer = SessionStart(codex.adapter, self.desk)
        folder = fake.codex_home / "sessions" / "2026" / "11" / "22"
        folder.mkdir(parents=True)
        self.rollout = folder / "rollout-x.jsonl"
        self.rollout.write_text(json.dumps(CONTEXT_LINE) + "\n")

    async def __call__(self, **changes: Any) -> str:
        given = {
            "session_id": self.fake.thread,
            "transcript_path": str(self.rollout),
            "cwd": "/w",
            "hook_event_name": "SessionStart",
            "model": "stub",
            "permission_mode": "default",
            "source": "startup",
        }
        body = {"input": given | changes, "parent": 1}
        answer = json.loads(bytes(await self._answer(msgspec.Raw(json.dumps(body).encode()))))
        assert set(answer) == {"hookSpecificOutput"}
        specific = answer["hookSpecificOutput"]
        assert set(specific) == {"hookEventName", "additionalContext"}
        assert specific["hookEventName"] == "SessionStart"
        return str(specific["additionalContext"])


@pytest.fixture
def hook(fake: FakeAppServer, codex: Watch) -> Hook:
    return Hook(fake, codex)


async def test_a_session_that_nobody_has_seen_yet_gets_its_context_at_once(hook: Hook):
    text = await hook()

    assert text == f"codex {hook.fake.thread} guarded"


async def test_the_mode_is_read_again_when_the_first_turn_has_begun(hook: Hook, codex: Watch):
    seen = await codex.seen(hook.fake.thread)
    assert seen.approval is None, "nobody can know it before the first turn"

    assert (await hook()).endswith("guarded")


async def test_a_session_that_is_not_found_is_told_so_in_time(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session_start, "WITHIN_S", 0.2)

    text = await hook(session_id="01a20238-55cd-79d2-ad22-000000000000")

    assert "not connected" in text
    assert "agent-relay status" in text


async def test_a_codex_that_nobody_types_into_is_told_so_at_once(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
):
    run = CodexProcess(process=Process(pid=1, started=1), binary="codex", arguments=("exec", "x"))
    monkeypatch.setattr(adapter, "codex_above", lambda pid: run)

    assert "ends with its turn" in await hook(session_id="01a20238-55cd-79d2-ad22-000000000000")


@pytest.mark.parametrize("fault", [PluginError("x", "no\ntext"), AdapterError("codex", "broken")])
async def test_what_fails_is_told_in_one_line(hook: Hook, fault: Exception):
    hook.desk.fault = fault

    text = await hook()

    assert "not connected" in text
    assert "\n" not in text


async def test_a_session_of_another_codex_home_is_found_there(hook: Hook, short_path: Path):
    (short_path / "home").mkdir()
    async with watch(short_path / "home", discover=True) as elsewhere:
        answer = Hook.__new__(Hook)
        answer.fake, answer.rollout = hook.fake, hook.rollout
        answer.desk = Desk(elsewhere)
        answer._answer = SessionStart(elsewhere.adapter, answer.desk)

        assert (await answer()).endswith("guarded")
        assert len(elsewhere.adapter.report()) == 2


BAD = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"\xff",
    b"{}",
    b'{"input":null}',
    b'{"input":{"session_id":5,"hook_event_name":"SessionStart"}}',
    b'{"input":{"session_id":"../../x","hook_event_name":"SessionStart"}}',
    b'{"input":{"session_id":"a","hook_event_name":"Stop"}}',
    b'{"input":{"session_id":"a","hook_event_name":"SessionStart"},"parent":"x"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BAD)
async def test_what_is_no_call_is_refused(codex: Watch, fake: FakeAppServer, body: bytes):
    answer = SessionStart(codex.adapter, Desk(codex))

    with pytest.raises((msgspec.MsgspecError, RecursionError, UnicodeError, SettingsError)):
        await answer(msgspec.Raw(body))


@pytest.mark.parametrize(
    "transcript", ["", "x", "/", "/sessions/../x", "/nowhere/sessions/a", "/a\0b"]
)
async def test_a_strange_transcript_path_is_left_alone(
    hook: Hook, transcript: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session_start, "WITHIN_S", 5)

    assert (await hook(transcript_path=transcript)).startswith("codex ")


def test_the_home_of_a_rollout_is_a_folder_of_this_user(tmp_path: Path):
    rollout = tmp_path / "sessions" / "2026" / "11" / "22" / "r.jsonl"

    assert home_of(rollout) == tmp_path
    assert home_of(Path("/nowhere") / "sessions" / "r.jsonl") is None


async def test_many_calls_at_once_are_all_answered(hook: Hook):
    texts = await asyncio.gather(*(hook() for _ in range(20)))

    assert {text.rpartition(" ")[2] for text in texts} == {"guarded"}
