"""A database of any former release is brought up with all that it holds, or is left as it is."""

from contextlib import closing
from pathlib import Path

import pytest

from hub_kit import HandClock, SeededRandom
from relay_core.messages import AgentId, DeliveryState, MessageId
from relay_hub.callers import USER
from relay_hub.service import HubService
from relay_hub.store import StoreDamaged, StoreTooNew
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.sqlite import SqliteStore, opening
from relay_hub.store.sqlite.queries import migrations
from store_versions import ROWS, VERSIONS, build, lost, rows_of


def open_store(path: Path) -> SqliteStore:
    return SqliteStore.open(path, executor=InlineExecutor(), store_id="new")


def test_every_table_that_a_release_brought_has_a_row_to_be_lost(tmp_path: Path):
    with closing(build(tmp_path / "hub.sqlite", version=VERSIONS[-1])) as newest:
        assert [table for table, rows in rows_of(newest).items() if not rows] == []
        assert newest.execute("PRAGMA foreign_key_check").fetchall() == []
    assert max(ROWS) <= VERSIONS[-1]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_database_of_each_version_is_brought_up_with_all_that_it_holds(
    tmp_path: Path, version: int
):
    path = tmp_path / "hub.sqlite"
    with closing(build(path, version=version)) as old:
        before = rows_of(old)

    store = open_store(path)
    service = await HubService.open(store, clock=HandClock(), random=SeededRandom())

    assert opening._version(store._reader) == len(migrations())
    assert lost(before, rows_of(store._reader, before)) == []
    assert store._reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert store._reader.execute("PRAGMA foreign_key_check").fetchall() == []
    seen = await service.messages.one(MessageId(2), USER)
    assert seen.body == "a reply, with ß and 𝄞"
    assert [each.state for each in seen.deliveries] == [DeliveryState.QUEUED]
    offers = await service.deliveries.offers(AgentId("bob"), USER)
    assert [each.message.id for each in offers.offers] == [2]
    await store.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_schema_that_is_reached_is_the_same_from_each_version(
    tmp_path: Path, version: int
):
    build(tmp_path / "hub.sqlite", version=version).close()
    await open_store(tmp_path / "hub.sqlite").close()
    with (
        closing(opening.connect_memory("x")) as fresh,
        closing(opening.connect_to_look(tmp_path / "hub.sqlite")) as upgraded,
    ):
        schema = "SELECT name, sql FROM sqlite_schema ORDER BY name"
        assert upgraded.execute(schema).fetchall() == fresh.execute(schema).fetchall()


async def test_a_database_of_a_newer_release_is_left_as_it_is_with_its_log(tmp_path: Path):
    path = tmp_path / "hub.sqlite"
    with closing(build(path, version=VERSIONS[-1])) as newer:
        newer.execute("UPDATE store SET schema_version = 99")
        files = {each: each.read_bytes() for each in opening.beside(path) if each.exists()}
        assert files, "it has a log"
        files[path] = path.read_bytes()

        with pytest.raises(StoreTooNew, match="99") as refused:
            open_store(path)

        assert {each: each.read_bytes() for each in files} == files
    assert "newer release" in refused.value.fix


async def test_an_upgrade_that_the_contents_forbid_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "hub.sqlite"
    with closing(build(path, version=3)) as old:
        before = rows_of(old)
    whole, wrong = migrations()[:4], "CREATE TABLE half (id); INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(opening, "migrations", lambda: (*whole[:3], wrong))

    with pytest.raises(StoreDamaged):
        open_store(path)

    with closing(opening.connect_to_look(path)) as still:
        assert opening._version(still) == 3
        assert rows_of(still) == before


async def test_an_upgrade_goes_on_at_the_step_that_it_had_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "hub.sqlite"
    with closing(build(path, version=2)) as old:
        before = rows_of(old)
    all_of_them = migrations()
    monkeypatch.setattr(opening, "migrations", lambda: all_of_them[:5])
    await open_store(path).close()
    monkeypatch.setattr(opening, "migrations", lambda: all_of_them)

    store = open_store(path)

    assert lost(before, rows_of(store._reader, before)) == []
    await store.close()
