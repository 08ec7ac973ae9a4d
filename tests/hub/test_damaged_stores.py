"""A database and its log are whole, or a start refuses them; programs that are in the way."""

import asyncio
import errno
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub_kit import HandClock, SeededRandom
from relay_hub.service import HubService
from relay_hub.store import StoreBusy, StoreDamaged, StoreError, StoreFailed, StoreFull
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore, opening
from relay_hub.store.sqlite.inspection import inspect
from relay_hub.store.sqlite.log_file import Log, Reach, lost
from relay_hub.testing.samples import a_message

SENT = 6
PAGE = 4096
FRAME = 24 + PAGE
AND_SHM = ("hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm")


def open_store(path: Path) -> SqliteStore:
    return SqliteStore.open(path, executor=InlineExecutor(), store_id="x")


async def killed(folder: Path, names: tuple[str, ...] = AND_SHM) -> Path:
    """What a hub leaves that dies after it has answered for six messages."""
    alive = folder / "alive"
    store = open_store(alive / "hub.sqlite")
    for number in range(SENT):
        await store.write(lambda tx, number=number: tx.add_message(a_message(body=str(number))))
    left = folder / "left"
    left.mkdir(mode=0o700)
    for name in names:
        shutil.copyfile(alive / name, left / name)
    await store.close()
    return left / "hub.sqlite"


def log_of(path: Path) -> Path:
    return path.with_name("hub.sqlite-wal")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.glob("hub.sqlite*")}


async def bodies(path: Path) -> list[str]:
    store = open_store(path)
    found = store._reader.execute("SELECT body FROM messages ORDER BY id").fetchall()
    await store.close()
    return [body for (body,) in found]


ALL = [str(number) for number in range(SENT)]


@pytest.mark.parametrize("names", [AND_SHM, AND_SHM[:2]], ids=["killed", "power cut"])
async def test_what_a_hub_that_died_leaves_is_whole(tmp_path: Path, names: tuple[str, ...]):
    path = await killed(tmp_path, names)
    inspect(path)

    assert await bodies(path) == ALL


@pytest.mark.parametrize(
    "tail",
    [b"\0" * 10, b"x" * FRAME, b"\xff" * (2 * FRAME + 5)],
    ids=["a few bytes", "a frame", "two frames and a half"],
)
async def test_a_torn_end_that_nobody_was_answered_for_is_passed_over(tmp_path: Path, tail: bytes):
    path = await killed(tmp_path)
    log_of(path).write_bytes(log_of(path).read_bytes() + tail)

    assert await bodies(path) == ALL


async def test_a_log_that_is_written_back_or_began_anew_is_whole(tmp_path: Path):
    alive = tmp_path / "alive" / "hub.sqlite"
    store = open_store(alive)
    for _ in range(3):
        store._writer.execute("PRAGMA wal_checkpoint(RESTART)")
        await store.write(lambda tx: tx.add_message(a_message()))
    left = tmp_path / "left"
    shutil.copytree(alive.parent, left)
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    again = tmp_path / "again"
    shutil.copytree(alive.parent, again)
    await store.close()

    assert len(await bodies(left / "hub.sqlite")) == 3
    assert len(await bodies(again / "hub.sqlite")) == 3


def _gone(path: Path) -> None:
    log_of(path).unlink()


def _empty(path: Path) -> None:
    log_of(path).write_bytes(b"")


def _half(path: Path) -> None:
    data = log_of(path).read_bytes()
    log_of(path).write_bytes(data[: len(data) // 2])


def _one_frame_less(path: Path) -> None:
    log_of(path).write_bytes(log_of(path).read_bytes()[:-FRAME])


def _last_frame(path: Path) -> None:
    flip(log_of(path), -100)


def _first_frame(path: Path) -> None:
    flip(log_of(path), 32 + 24 + 100)


def _header(path: Path) -> None:
    flip(log_of(path), 17)


LOST = {
    _gone: "is gone",
    _empty: "is gone",
    _half: "cut short",
    _one_frame_less: "cut short",
    _last_frame: "damaged after frame",
    _first_frame: "damaged after frame 0",
    _header: "damaged after frame 0",
}


@pytest.mark.parametrize("damage", LOST, ids=lambda damage: damage.__name__)
async def test_a_log_that_lost_what_was_answered_is_refused_as_often_as_one_starts(
    tmp_path: Path, damage: Callable[[Path], None]
):
    path = await killed(tmp_path)
    damage(path)
    before = contents(path)

    for _ in range(2):
        with pytest.raises(StoreDamaged, match=LOST[damage]) as refused:
            open_store(path)
        assert "mend-the-store" in (refused.value.fix or "")
        assert "\n" not in str(refused.value)
        with pytest.raises(StoreDamaged, match=LOST[damage]):
            inspect(path)
        assert {name: contents(path)[name] for name in before} == before


@pytest.mark.parametrize("damage", [_first_frame, _header], ids=lambda damage: damage.__name__)
async def test_damage_amid_a_log_is_seen_without_what_a_killed_hub_leaves(
    tmp_path: Path, damage: Callable[[Path], None]
):
    path = await killed(tmp_path, AND_SHM[:2])
    damage(path)

    with pytest.raises(StoreDamaged, match="damaged after frame 0"):
        open_store(path)


@pytest.mark.parametrize("damage", LOST, ids=lambda damage: damage.__name__)
async def test_what_is_whole_of_a_log_can_be_kept(tmp_path: Path, damage: Callable[[Path], None]):
    path = await killed(tmp_path)
    damage(path)

    with closing(sqlite3.connect(path)) as mending:  # as the how-to says
        mending.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    kept = await bodies(path)
    assert kept == ALL[: len(kept)]


async def test_a_log_of_another_database_that_does_not_fit_is_refused(tmp_path: Path):
    path = await killed(tmp_path)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as stranger:
        stranger.execute("PRAGMA journal_mode = WAL")
        stranger.execute("CREATE TABLE notes (id)")
        stranger.commit()
        shutil.copyfile(other.with_name("other.sqlite-wal"), log_of(path))
    before = contents(path)

    with pytest.raises(StoreDamaged):
        open_store(path)

    assert contents(path)["hub.sqlite"] == before["hub.sqlite"]


@pytest.mark.parametrize("page", range(2, 12))
async def test_a_damaged_page_is_refused_and_nothing_is_changed(tmp_path: Path, page: int):
    path = await killed(tmp_path)
    open_files = contents(path)
    data = bytearray(path.read_bytes())
    start = (page - 1) * PAGE
    data[start : start + 64] = b"\xa5" * 64
    path.write_bytes(data)
    if _in_log(open_files["hub.sqlite-wal"], page):
        assert await bodies(path) == ALL, "the log has a whole one"
        return

    with pytest.raises(StoreDamaged, match="is damaged"):
        open_store(path)

    assert path.read_bytes() == bytes(data)
    assert log_of(path).read_bytes() == open_files["hub.sqlite-wal"]


def _in_log(log: bytes, page: int) -> bool:
    return any(
        struct.unpack_from(">I", log, at)[0] == page
        for at in range(32, len(log) - FRAME + 1, FRAME)
    )


def test_a_last_commit_that_cannot_be_read_is_one_that_nobody_was_answered_for():
    log = Log(salts=b"s", frames=9, commits=(3, 6, 9), readable=6)

    assert lost(log, None) is None
    assert lost(msgspec.structs.replace(log, readable=3), None) is not None
    assert lost(log, Reach(salts=b"s", frames=6, written_back=0)) is None
    assert lost(log, Reach(salts=b"s", frames=9, written_back=0)) is not None
    assert lost(log, Reach(salts=b"of an older log", frames=9, written_back=0)) is None
    assert lost(None, Reach(salts=b"s", frames=9, written_back=9)) is None


# --- gone, and begun anew --------------------------------------------------------------------


async def test_to_begin_anew_where_a_database_was_is_said(tmp_path: Path, caplog: Any):
    path = tmp_path / "hub.sqlite"
    await open_store(path).close()
    assert caplog.messages == []
    path.unlink()

    await open_store(path).close()

    assert caplog.messages == [f"{path} was there before and is gone: began with an empty one"]


async def test_a_first_start_that_was_killed_is_no_loss(tmp_path: Path, caplog: Any):
    path = tmp_path / "hub.sqlite"
    opening.ProcessLock(path).release()
    path.with_name("hub.sqlite.new").write_bytes(b"half")

    await open_store(path).close()

    assert caplog.messages == []


@pytest.mark.parametrize("how", ["deleted", "moved", "another in its place"])
async def test_nothing_is_answered_once_the_database_is_gone(tmp_path: Path, how: str):
    path = tmp_path / "hub.sqlite"
    store = open_store(path)
    await store.write(lambda tx: tx.add_message(a_message()))
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "another in its place":
        shutil.copyfile(tmp_path / "elsewhere", path)

    with pytest.raises(StoreFailed, match="moved or deleted"):
        await store.write(lambda tx: tx.add_message(a_message()))
    with pytest.raises(StoreFailed):
        store.free_bytes()
    await store.close()


async def test_a_hub_that_only_waits_sees_that_its_folder_is_gone(tmp_path: Path):
    folder = tmp_path / "data"
    store = open_store(folder / "hub.sqlite")
    service = await HubService.open(store, clock=HandClock(), random=SeededRandom())
    shutil.rmtree(folder)

    with pytest.raises(StoreFailed):
        await service.sweep()
    await store.close()


# --- programs that are in the way ------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_while_another_program_writes_all_are_refused_at_once_and_reading_goes_on(
    tmp_path: Path,
):
    store = open_store(tmp_path / "hub.sqlite")
    first = await store.write(lambda tx: tx.add_message(a_message()))
    tries: list[str] = []
    store._writer.set_trace_callback(tries.append)
    with closing(sqlite3.connect(tmp_path / "hub.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        outcomes = await asyncio.gather(
            *(store.write(lambda tx: tx.add_message(a_message())) for _ in range(9)),
            return_exceptions=True,
        )
        assert await store.read(lambda reads: reads.message(first)) is not None
        other.execute("ROLLBACK")

    assert [type(each) for each in outcomes] == [StoreFull] * 9
    assert "close the program" in str(getattr(outcomes[0], "fix", None))
    assert tries.count("BEGIN IMMEDIATE") == 1, "the lock is waited for once, not once for each"
    assert await store.write(lambda tx: tx.add_message(a_message())) == first + 1
    await store.close()


async def test_a_lock_that_is_given_up_in_time_is_waited_for(tmp_path: Path):
    path = tmp_path / "hub.sqlite"
    with ThreadPoolExecutor(max_workers=1) as writer:
        store = SqliteStore.open(path, executor=writer, store_id="x")
        waits = threading.Event()
        store._writer.set_trace_callback(lambda _: waits.set())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            writing = asyncio.create_task(store.write(lambda tx: tx.add_message(a_message())))
            await asyncio.to_thread(waits.wait, 30)
            assert not writing.done()
            other.execute("COMMIT")
            assert await writing == 1
        await store.close()


async def test_a_program_that_reads_for_long_is_in_nobodys_way(tmp_path: Path):
    path = tmp_path / "hub.sqlite"
    store = open_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        for number in range(SENT):
            await store.write(lambda tx, number=number: tx.add_message(a_message(body=str(number))))
        assert other.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        await store.close()

    assert await bodies(path) == ALL


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mode", ["NORMAL", "EXCLUSIVE"])
async def test_a_start_while_another_program_has_the_database_is_refused_as_that(
    tmp_path: Path, mode: str
):
    path = tmp_path / "hub.sqlite"
    await open_store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA locking_mode = {mode}")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as refused:
            await _start(path)

    assert type(refused.value) is StoreError, "and not damaged"
    assert "close the program" in (refused.value.fix or "")
    await _start(path)


async def _start(path: Path) -> None:
    store = open_store(path)
    try:
        await HubService.open(store, clock=HandClock(), random=SeededRandom())
    finally:
        await store.close()


def test_a_file_that_cannot_be_locked_is_not_called_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(opening.fcntl, "flock", refuse)

    with pytest.raises(StoreError, match="cannot be locked: No locks available") as refused:
        open_store(tmp_path / "hub.sqlite")
    assert not isinstance(refused.value, StoreBusy)
