"""The Nth write fails, the Nth sync fails, the process dies there: for every N of a hub's life.

`--faults-apart 1` tries every one, not every few.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from disk_session import CASES, RECIPIENTS, make_template
from faulty_disk import on_faulty_disk
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore, opening
from store_versions import build, lost, rows_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
LIMIT_S = 540
SYNCS_PER_WRITES = 12
"""There are that many more writes than syncs, so syncs are tried that much closer together."""
GIVES_UP = {"store_error", "store_failed"}
"""Codes that end `agent-relay up` with 4."""


@dataclass
class Life:
    """What one life was told until its end, and where its files are."""

    folder: Path
    answered: dict[int, str] = field(default_factory=dict[int, str])
    refused: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    outcomes: list[str] = field(default_factory=list[str])
    others: list[list[Any]] = field(default_factory=list[list[Any]])

    @classmethod
    def read(cls, folder: Path) -> "Life":
        life = cls(folder)
        for line in (folder / "lines").read_text().splitlines():
            words = json.loads(line)
            if words[0] in ("answered", "refused"):
                life.outcomes.append(words[0])
            match words:
                case ["answered", id, body]:
                    life.answered[id] = body
                case ["refused", body, status, code]:
                    life.refused[body] = (status, code)
                case other:
                    life.others.append(other)
        return life

    def told(self, what: str) -> list[list[Any]]:
        return [each for each in self.others if each[0] == what]

    def reopen(self) -> SqliteStore:
        return SqliteStore.open(
            self.folder / "hub.sqlite", executor=InlineExecutor(), store_id="after"
        )


@dataclass
class Lives:
    """Runs a story once for each N."""

    library: Path
    folder: Path
    apart: int

    def __call__(self, story: str, case: str) -> Iterator[Life]:
        syncs = CASES[case].kind == "s"
        step = max(1, self.apart // SYNCS_PER_WRITES) if syncs else self.apart
        subprocess.run(
            [sys.executable, FIXTURES / "disk_session.py", self.folder, story, case, str(step)],
            env={
                **os.environ,
                "PYTHONPATH": str(FIXTURES),
                **on_faulty_disk(self.library, self.folder),
            },
            check=True,
            timeout=LIMIT_S,
        )
        folders = sorted(each for each in self.folder.iterdir() if each.is_dir())
        assert len(folders) > 1
        return map(Life.read, folders)


@pytest.fixture
def lives(faulty_disk: Path, quick_folder: Path, request: pytest.FixtureRequest) -> Lives:
    return Lives(faulty_disk, quick_folder, request.config.getoption("--faults-apart"))


def _kept(store: SqliteStore) -> dict[int, str]:
    """Every message that is there, whole."""
    ask = store._reader.execute
    assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert ask("PRAGMA foreign_key_check").fetchall() == []
    assert (
        ask(
            "SELECT id FROM messages m WHERE ?1 != "
            "(SELECT count(*) FROM deliveries d WHERE d.message_id = m.id)",
            (len(RECIPIENTS),),
        ).fetchall()
        == []
    )
    return dict(ask("SELECT id, substr(body, 1, 40) FROM messages"))


@pytest.mark.parametrize("case", CASES)
async def test_what_was_answered_is_there_and_nothing_is_there_by_half(lives: Lives, case: str):
    await make_template(lives.folder / "template.sqlite")

    for life in lives("mail", case):
        assert life.told("raised") == [], life
        assert {status for status, _ in life.refused.values()} <= {503}, life
        _gives_up_or_goes_on(life, case)
        store = life.reopen()
        kept = _kept(store)
        assert kept.items() >= life.answered.items(), life
        # Of what failed for good nobody knows, but what found no room has left nothing.
        no_room = {body for body, (_, code) in life.refused.items() if code == "storage"}
        assert no_room.isdisjoint(kept.values()), life
        await store.close()


def _gives_up_or_goes_on(life: Life, case: str) -> None:
    codes = {code for _, code in life.refused.values()}
    if "room" in case:
        assert codes <= {"storage"}, life
        assert life.told("unread") == [], "reading goes on"
        assert life.answered or CASES[case].for_good or life.told("not opened"), life
    elif codes:
        assert codes == {"store_failed"}, life
        assert life.outcomes.count("refused") == len(life.outcomes) - life.outcomes.index("refused")


@pytest.mark.parametrize("case", CASES)
async def test_a_first_start_that_fails_is_told_and_the_next_one_works(lives: Lives, case: str):
    for life in lives("start", case):
        assert life.told("raised") == [], life
        for _, code, detail in life.told("not opened"):
            assert code in GIVES_UP
            assert "\n" not in detail
        store = life.reopen()
        assert _kept(store) == {}
        await store.close()


@pytest.mark.parametrize("case", CASES)
async def test_an_upgrade_that_fails_is_told_and_done_at_the_next_start(lives: Lives, case: str):
    with closing(build(lives.folder / "template.sqlite", version=1)) as old:
        before = rows_of(old)

    for life in lives("upgrade", case):
        assert life.told("raised") == [], life
        assert {code for _, code, _ in life.told("not opened")} <= GIVES_UP, life
        store = life.reopen()
        assert opening._version(store._reader) == len(opening.migrations())
        assert lost(before, rows_of(store._reader, before)) == []
        await store.close()
