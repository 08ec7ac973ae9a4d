"""What is SQLite's own: one process, one writer, whole files, and durability."""

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hub_kit import placeholders
from relay_core.messages import AgentId, Message
from relay_core.ports import Failpoint
from relay_hub.store import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreTooNew,
    StoreUnsafe,
    Transaction,
)
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore, opening
from relay_hub.store.sqlite.queries import migrations, queries
from relay_hub.testing.samples import a_message, an_agent

A = AgentId("a")


@pytest.fixture
def writer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "hub.sqlite"


def open_store(path: Path, executor: object = None) -> SqliteStore:
    return SqliteStore.open(path, executor=executor or InlineExecutor(), store_id="x")


async def made(path: Path) -> None:
    store = open_store(path)
    await store.write(lambda tx: tx.put_agent(an_agent()))
    await store.close()


async def test_everything_that_waits_for_the_writer_is_one_commit(path: Path, writer):
    store = open_store(path, writer)
    before = store.commits

    ids = await asyncio.gather(
        *(store.write(lambda tx: tx.add_message(a_message())) for _ in range(50))
    )

    assert len(set(ids)) == 50
    assert store.commits == before + 1
    await store.close()


async def test_one_failure_in_a_commit_spoils_nobody_elses_work(path: Path, writer):
    store = open_store(path, writer)

    async def broken(tx: Transaction) -> None:
        await tx.add_message(a_message(body="broken"))
        await tx.next_seq(AgentId("nobody"))
        raise ValueError("mine alone")

    async def refused_by_sqlite(tx: Transaction) -> None:
        await tx.add_agent_token(b"h", AgentId("nobody"), 1)

    good = [store.write(lambda tx: tx.add_message(a_message(body="good"))) for _ in range(3)]
    results = await asyncio.gather(
        good[0],
        store.write(broken),
        good[1],
        store.write(refused_by_sqlite),
        good[2],
        return_exceptions=True,
    )

    assert isinstance(results[1], ValueError)
    assert isinstance(results[3], StoreError)
    kept = [await store.read(lambda reads, each=each: reads.message(each)) for each in results[::2]]
    assert [message.body for message in kept] == ["good"] * 3
    await store.close()


async def test_commits_are_synced_before_they_are_answered(path: Path):
    store = open_store(path)

    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()


async def test_the_reader_cannot_write(path: Path):
    store = open_store(path)

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM agents")
    await store.close()


async def test_files_are_for_their_owner_alone(path: Path):
    before = os.umask(0)
    try:
        store = open_store(path)
        await store.write(lambda tx: tx.put_agent(an_agent()))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)

    assert {mode for name, mode in modes.items()} == {0o600}
    assert "hub.sqlite-wal" in modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_database_that_others_could_read_is_closed_to_them(path: Path):
    await made(path)
    path.chmod(0o644)

    await open_store(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_second_hub_on_the_same_database_is_told_who_has_it(path: Path):
    store = open_store(path)

    with pytest.raises(StoreBusy, match=f"process {os.getpid()}") as refused:
        open_store(path)

    assert refused.value.code == "store_busy"
    await store.close()
    await open_store(path).close()


def _spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(data)


def _other_database(path: Path) -> None:
    path.unlink()
    _sql(path, "CREATE TABLE notes (id)")


def _sql(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"not a database at all, but text"), "is not a SQLite"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged"),
        (_spoil, "is damaged"),
        (_other_database, "is not a database of this hub"),
        (lambda path: _sql(path, "DROP TABLE store"), "is damaged"),
        (lambda path: _sql(path, "DELETE FROM store"), "is damaged"),
    ],
)
async def test_a_damaged_database_is_refused_and_left_as_it_is(path: Path, damage, words):
    await made(path)
    damage(path)
    before = path.read_bytes()

    with pytest.raises(StoreDamaged, match=words) as refused:
        open_store(path)

    assert path.read_bytes() == before
    assert str(refused.value).count("\n") == 0
    assert "backup" in refused.value.fix


async def test_a_missing_database_beside_its_log_is_no_reason_for_an_empty_one(path: Path):
    await made(path)
    path.rename(path.with_name("elsewhere"))
    path.with_name("hub.sqlite-wal").write_bytes(b"what was committed")

    with pytest.raises(StoreDamaged, match=r"is missing, but hub\.sqlite-wal is there"):
        open_store(path)

    assert not path.exists()


async def test_a_database_of_a_newer_release_is_refused(path: Path):
    await made(path)
    _sql(path, "UPDATE store SET schema_version = 99")

    with pytest.raises(StoreTooNew, match="99"):
        open_store(path)


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
async def test_only_a_regular_file_is_opened(path: Path, tmp_path: Path, kind: str):
    path.parent.mkdir(mode=0o700)
    if kind == "link":
        path.symlink_to(tmp_path / "target")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(StoreUnsafe):
        open_store(path)

    assert not (tmp_path / "target").exists()


async def test_a_half_made_new_database_is_no_obstacle(path: Path):
    path.parent.mkdir(mode=0o700)
    path.with_name("hub.sqlite.new").write_bytes(b"the last start was killed here")

    await made(path)


def test_the_newest_schema_is_the_number_of_migrations():
    connection = opening.connect_memory("x")

    assert connection.execute("SELECT schema_version FROM store").fetchone() == (len(migrations()),)
    connection.close()


async def test_a_database_of_the_first_schema_is_brought_up_with_what_it_holds(path: Path):
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(migrations()[0])
        connection.execute("INSERT INTO store (only, schema_version, store_id) VALUES (1, 1, 'x')")
        connection.execute(f"PRAGMA application_id = {opening.APPLICATION_ID}")
        connection.execute("INSERT INTO agents (id, epoch, created_ms) VALUES ('a', 7, 1)")
        connection.commit()

    store = open_store(path)
    found = await store.read(lambda reads: reads.agent(A))
    await store.write(lambda tx: tx.put_agent(an_agent()))
    await store.close()
    again = open_store(path)
    await again.close()

    assert found is not None
    assert found.epoch == 7


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_named_statement_fits_the_schema(name: str):
    connection = opening.connect_memory("x")

    connection.execute(f"EXPLAIN {queries()[name]}", [None] * placeholders(queries()[name]))

    connection.close()


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_named_statement_is_used_somewhere(name: str):
    folder = Path(opening.__file__).parent

    assert any(f'"{name}"' in each.read_text() for each in folder.glob("*.py"))


@pytest.mark.parametrize(
    "name",
    [
        "offers",
        "in_doubt",
        "expired",
        "hold_ended",
        "retry_due",
        "lapsed",
        "sent_since",
        "conversation",
        "pairs_expired",
        "pair_of",
        "pair_message",
        "forgotten_pairs",
        "dead_letters",
    ],
)
def test_what_is_asked_often_never_walks_a_whole_table(name: str):
    connection = opening.connect_memory("x")
    sql = queries()[name]

    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * placeholders(sql)).fetchall()

    assert not [row for row in plan if row[3].startswith("SCAN")], plan
    connection.close()


async def test_a_full_disk_refuses_and_keeps_what_was_there(path: Path):
    store = open_store(path)
    first = await store.write(lambda tx: tx.add_message(a_message()))
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreFull):
        await store.write(lambda tx: tx.add_message(a_message(body="x" * 100_000)))

    found: Message | None = await store.read(lambda reads: reads.message(first))
    assert found is not None
    store._writer.execute("PRAGMA max_page_count = 100000")
    await store.write(lambda tx: tx.add_message(a_message(body="x" * 100_000)))
    await store.close()


@pytest.mark.parametrize(
    ("wanted", "kept"), [(Failpoint.HUB_BEFORE_COMMIT, 0), (Failpoint.HUB_AFTER_COMMIT, 1)]
)
async def test_a_crash_before_the_commit_leaves_nothing_and_after_it_everything(
    path: Path, wanted: Failpoint, kept: int
):
    hits: list[Failpoint] = []

    def crash(name: Failpoint) -> None:
        hits.append(name)
        if name is wanted:
            raise KeyboardInterrupt

    store = SqliteStore.open(path, executor=InlineExecutor(), store_id="x", failpoint=crash)
    with pytest.raises(KeyboardInterrupt):
        store._commit([lambda tx: tx.add_message(a_message())])

    assert hits[-1] is wanted
    assert await store.read(lambda reads: reads.latest_message_id()) == kept
    await store.close()


CHILD = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from relay_core.clock import SystemClock, SystemRandom
from relay_core.hub_api import RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_hub.server import open_hub

async def main(folder):
    async with open_hub(store_file=folder / "hub.sqlite", token_file=folder / "token",
                        clock=SystemClock(), random=SystemRandom(), port=0) as hub:
        token = (folder / "token").read_text().strip()
        async with HubClient(hub.url, token) as client:
            await client.register(RegisterRequest(id="a"))
            while True:
                sent = await client.send(SendRequest(to="a", body="durable"))
                print(sent.id, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_what_was_answered_survives_a_kill_of_the_hub(tmp_path: Path):
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(60):
            answered = [int(await child.stdout.readline()) for _ in range(20)]
    finally:
        child.kill()
        await child.communicate()

    store = open_store(tmp_path / "hub.sqlite")
    offers = await store.read(lambda reads: reads.offers(A, 1 << 30))
    assert {each.message.id for each in offers} >= set(answered)
    assert store._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert store._reader.execute("PRAGMA foreign_key_check").fetchall() == []
    await store.close()


async def test_after_a_disk_error_nothing_is_answered_any_more(path: Path, writer):
    store = open_store(path, writer)

    async def broken_disk(tx: Transaction) -> None:
        await tx.add_message(a_message())
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    results = await asyncio.gather(
        store.write(lambda tx: tx.add_message(a_message())),
        store.write(broken_disk),
        return_exceptions=True,
    )

    assert [type(each) for each in results] == [StoreFailed, StoreFailed]
    with pytest.raises(StoreFailed):
        await store.write(lambda tx: tx.add_message(a_message()))
    await store.close()
    again = open_store(path)
    assert await again.read(lambda reads: reads.latest_message_id()) == 0
    await again.close()
