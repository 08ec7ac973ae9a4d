"""The threads that Codex has on disk, as far as `start` must know them before it runs Codex."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from relay_plugins.codex.approval import read_flags
from relay_plugins.codex.arguments import Saved, Wanted

MOST_LOOKED_AT = 500
FIRST_LINE_BYTES = 256 * 1024
ROLLOUTS = "sessions/*/*/*/rollout-*.jsonl"
NOT_SOMEBODYS = ("exec", "mcp")


class _Meta(msgspec.Struct, frozen=True):
    id: str = ""
    cwd: str = ""
    source: object = None
    thread_source: str | None = None


class _FirstLine(msgspec.Struct, frozen=True):
    payload: _Meta = _Meta()


def find_saved(codex_home: Path, wanted: Wanted, cwd: str) -> Saved | None:
    """Find the thread that is named, else the one that somebody last worked with in a folder."""
    if wanted.thread is None:
        return next(_of_folder(codex_home, cwd), None)
    if not wanted.thread.replace("-", "").isalnum():
        return None  # a name, which only Codex knows
    found = next(codex_home.glob(f"sessions/*/*/*/rollout-*-{wanted.thread}.jsonl"), None)
    return None if found is None else Saved(thread=wanted.thread, flags=read_flags(found))


def _of_folder(codex_home: Path, cwd: str) -> Iterator[Saved]:
    real = Path(cwd).resolve()
    newest = sorted(codex_home.glob(ROLLOUTS), key=_changed_at, reverse=True)
    for rollout in itertools.islice(newest, MOST_LOOKED_AT):
        meta = _meta(rollout)
        if meta.thread_source not in (None, "user") or meta.source in NOT_SOMEBODYS:
            continue
        if meta.id and meta.cwd and Path(meta.cwd).resolve() == real:
            yield Saved(thread=meta.id, flags=read_flags(rollout))


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _meta(rollout: Path) -> _Meta:
    """What the first line of a rollout file says; nothing where it cannot be read."""
    try:
        with rollout.open("rb") as stream:
            line = stream.readline(FIRST_LINE_BYTES)
        return msgspec.json.decode(line, type=_FirstLine).payload
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Meta()
