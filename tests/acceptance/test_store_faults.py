"""What the user sees of a store that cannot be used: one line, the exit code, and nothing lost."""

import errno
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faulty_disk import on_faulty_disk
from user_commands import Relay, until

DAMAGED, FAILED = 4, 1


@pytest.fixture
def other(short_path: Path) -> Iterator[Relay]:
    """A second user with a home of their own."""
    user = Relay(short_path / "other", in_process=True)
    yield user
    user.end()


def _store(relay: Relay) -> Path:
    """A database with one message in it, that no hub uses."""
    url = relay.up()["url"]
    relay.register("ada", url)
    relay("send", "ada", "before", "--url", url).worked()
    relay("down").worked()
    return relay.data / "hub.sqlite"


def _ended(relay: Relay) -> str:
    """Wait until the hub has ended by itself, as it must; what it said in the end."""
    said, complaints = relay.started[0].communicate(timeout=60)
    assert relay.started[0].returncode == DAMAGED, (said, complaints)
    assert "Traceback" not in complaints
    return str(json.loads(said.splitlines()[-1])["error"]["detail"])


def _folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def _page(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xa5" * 4096)


def _newer(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE store SET schema_version = 99")
        connection.commit()


def _log_alone(store: Path) -> None:
    store.with_name("hub.sqlite-wal").write_bytes(store.read_bytes()[:4096])
    store.unlink()


STATES: dict[Callable[[Path], object], str] = {
    lambda store: store.write_bytes(b""): "is empty",
    lambda store: store.write_text("my diary\n" * 99): "is not a SQLite database",
    lambda store: store.write_bytes(b"\xff" * 16 + store.read_bytes()[16:]): "is not a SQLite",
    lambda store: os.truncate(store, 10_000): "is damaged",
    _page: "is damaged",
    _folder: "is not a regular file",
    _newer: "newer release",
    _log_alone: "is missing, but hub.sqlite-wal is there",
}


@pytest.mark.parametrize("state", STATES, ids=STATES.values())
def test_up_ends_with_one_line_and_leaves_a_damaged_store_as_it_is(
    relay: Relay, state: Callable[[Path], object]
):
    store = _store(relay)
    state(store)
    before = _files(store)

    line = relay("up", "--port", "0").failed(DAMAGED)

    assert STATES[state] in line
    assert str(store) in line
    assert " — " in line
    assert _files(store) == before


def _files(store: Path) -> dict[str, bytes]:
    found = [each for each in store.parent.glob("hub.sqlite*") if each.is_file()]
    return {each.name: each.read_bytes() for each in found if each.suffix != ".lock"}


def test_a_second_hub_names_the_first_and_that_one_goes_on(relay: Relay, other: Relay):
    first = relay.up()
    other.write_config(f'[hub]\nstore = "{relay.data / "hub.sqlite"}"\n')

    line = other("up", "--port", "0").failed(FAILED)

    assert f"is held by another hub (process {first['pid']})" in line
    relay("status").worked()


def test_where_the_first_hub_was_killed_the_second_one_takes_the_store(relay: Relay, other: Relay):
    url = relay.up()["url"]
    relay.register("ada", url)
    relay("send", "ada", "kept", "--url", url).worked()
    relay.started[0].send_signal(signal.SIGKILL)
    relay.started[0].communicate(timeout=30)
    other.write_config(f'[hub]\nstore = "{relay.data / "hub.sqlite"}"\n')

    other.up()

    assert "kept" in other("show", "1").worked().out


def test_a_disk_that_fails_ends_the_hub_and_a_restart_has_what_was_answered(
    relay: Relay, faulty_disk: Path, short_path: Path
):
    switch = short_path / "switch"
    url = relay.up(environ=on_faulty_disk(faulty_disk, relay.data, switch))["url"]
    relay.register("ada", url)
    relay("send", "ada", "kept", "--url", url).worked()
    switch.write_text(f"s{errno.EIO}")

    line = relay("send", "ada", "unknown", "--url", url).failed(DAMAGED)
    assert "look at the disk" in line
    assert "the store failed" in _ended(relay)

    relay.up()
    assert "kept" in relay("show", "1").worked().out


def test_a_full_disk_refuses_mail_shows_what_is_there_and_takes_mail_again_when_there_is_room(
    relay: Relay, faulty_disk: Path, short_path: Path
):
    switch = short_path / "switch"
    url = relay.up(environ=on_faulty_disk(faulty_disk, relay.data, switch))["url"]
    relay.register("ada", url)
    relay("send", "ada", "kept", "--url", url).worked()
    switch.write_text(f"w{errno.ENOSPC}")

    assert "free some disk space" in relay("send", "ada", "refused", "--url", url).failed(FAILED)
    assert "kept" in relay("show", "1", "--url", url).worked().out
    switch.unlink()

    assert relay("send", "ada", "again", "--url", url, "--json").worked().json["id"] == 2


def test_a_start_on_a_full_disk_says_so_and_calls_nothing_damaged(
    relay: Relay, faulty_disk: Path, short_path: Path
):
    store = _store(relay)
    switch = short_path / "switch"
    switch.write_text(f"w{errno.ENOSPC}")
    relay.environ |= on_faulty_disk(faulty_disk, store.parent, switch)

    line = relay("up", "--port", "0").failed(DAMAGED)

    assert "df" in line or "disk space" in line
    assert "damaged" not in line
    assert "backup" not in line
    switch.unlink()
    relay.up()
    assert "before" in relay("show", "1").worked().out


def test_a_store_that_is_deleted_under_a_running_hub_ends_it(relay: Relay):
    relay.up()
    shutil.move(relay.data / "hub.sqlite", relay.data / "moved")

    assert "was moved or deleted while the hub used it" in _ended(relay)


def test_an_empty_store_in_the_place_of_a_vanished_one_is_said(relay: Relay):
    _store(relay).unlink()

    process = relay.start("up", "--port", "0")
    assert process.stdout is not None
    until("it serves", process.stdout.readline)
    relay("down").worked()

    assert "was there before and is gone" in process.communicate(timeout=30)[1]
