"""Opening a database: one process, our own file, the right schema, or a clear error."""

# Rule 1: nothing is ever recreated silently. A file that is there must be whole and ours.
# Rule 2: a new database is built beside its place and moved there, so that a half-made or empty
#         file is never ours.
# Rule 3: before SQLite 3.51.3, two connections that write or checkpoint one WAL can corrupt it (the
#         WAL-reset race). One connection of one process does both; the lock sees to the process.

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from relay_core.user_files import make_private_folder
from relay_hub.store.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreTooNew,
    StoreUnsafe,
)
from relay_hub.store.sqlite.log_file import lost_beside
from relay_hub.store.sqlite.queries import migrations

log = logging.getLogger(__name__)

APPLICATION_ID = 0x41524C59
"""`ARLY`: what marks a database as ours."""

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables."""

BUSY_S = 5.0
"""How long another program's lock is waited for."""

CHECKED_BYTES = 256 * 1024 * 1024
"""Larger databases are not read through at start."""

CLOSE_IT = "close the program that has the database open"
LOOK_AT_THE_DISK = "look at the disk that it is on (df, dmesg), then start again"

_HOLDER_BYTES = 32
_HEADER = b"SQLite format 3\0"
_HEADER_BYTES = 100
_APPLICATION_ID_AT = 68


class ProcessLock:
    """Held for as long as this process uses the database; the kernel frees it when it dies."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise StoreUnsafe(self.path, f"cannot be opened: {error.strerror}") from error
        try:
            self.held_before = self._take(database)
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, database: Path) -> bool:
        """Lock, and leave word of who has it; tell whether anybody ever had it before."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            former = os.pread(self._file, _HOLDER_BYTES, 0)
            # Written over, never emptied: whoever is refused reads this one's id or the last one's.
            os.pwrite(self._file, f"{os.getpid():<{_HOLDER_BYTES - 1}}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(self._file, _HOLDER_BYTES, 0).decode("ascii", "replace").strip()
            raise StoreBusy(database, f"process {holder or 'unknown'}") from error
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be locked: {error.strerror}", fix=LOOK_AT_THE_DISK
            ) from error
        return bool(former.strip())

    def release(self) -> None:
        """Let another hub have the database; the file stays, so that two never lock two files."""
        os.close(self._file)


def prepare(path: Path, store_id: str, *, was_there: bool = False) -> None:
    """See to it that a whole database of the newest schema is at `path`; the lock is held.

    `was_there`: a hub has used a database at this place before, so that to begin anew is said.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old",
            fix="use a Python with SQLite 3.37 or newer",
        )
    if _stat(path) is None:
        half_made = _stat(_new(path)) is not None
        _create(path, store_id)
        if was_there and not half_made:
            log.warning("%s was there before and is gone: began with an empty one", path)
    check_file(path)
    check_log(path)
    with errors_at(path):
        # Looked at first without the right to write: the last writer that closes a database writes
        # its log back, and a damaged one must stay as it is.
        check_whole(path)
        with closing(connect(path)) as connection:
            _migrate(connection)


@contextmanager
def errors_at(path: Path) -> Generator[None]:
    """Turn what SQLite raises while a database is opened into errors of the store's."""
    try:
        yield
    except sqlite3.Error as error:
        raise _trouble(path, error) from error


def _trouble(path: Path, error: sqlite3.Error) -> StoreError:
    # Only what is damaged may be called so: the advice is to move it away.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{path} is held by a program that is no hub", fix=CLOSE_IT)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreUnsafe(path, f"cannot be opened to be written: {error}")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM):
        return StoreError(f"{path} cannot be read or written: {error}", fix=LOOK_AT_THE_DISK)
    return StoreDamaged(path, f"is damaged: {error}")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection with the settings that the promise rests on."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, cached_statements=256, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection.execute("PRAGMA synchronous = FULL")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = ON")
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """Open a connection that changes nothing of the database and, without a log, makes no file."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    if not any(each.exists() for each in beside(path)):
        # Immutable: no lock, no log, no shared memory is made for it.
        address += "&immutable=1"
    return sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)


def connect_memory(store_id: str) -> sqlite3.Connection:
    """Open a database that lives and dies with this connection."""
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, cached_statements=256, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    _build(connection, store_id)
    return connection


def identity(path: Path) -> tuple[int, int] | None:
    """Tell one file at a path from another that took its place; None where there is none."""
    found = _stat(path)
    return None if found is None else (found.st_dev, found.st_ino)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def make_folder(folder: Path) -> None:
    """Make the folder for the database, 0700; refuse one that belongs to somebody else."""
    try:
        make_private_folder(folder)
        owner = folder.stat().st_uid
    except OSError as error:
        raise StoreUnsafe(folder, f"cannot be made: {error.strerror}") from error
    if owner not in (os.getuid(), 0):
        raise StoreUnsafe(folder, f"belongs to another user (uid {owner})")


def _create(path: Path, store_id: str) -> None:
    refuse_leftovers(path)
    new = _new(path)
    for leftover in (new, *beside(new)):
        leftover.unlink(missing_ok=True)
    try:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            _build(connection, store_id)
            connection.execute("PRAGMA journal_mode = WAL")
        new.replace(path)
        _sync_folder(path.parent)
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreError(f"{path} cannot be created: {error}", fix=LOOK_AT_THE_DISK) from error


def _new(path: Path) -> Path:
    """Where a database is built before it is moved to its place."""
    return path.with_name(f"{path.name}.new")


def refuse_leftovers(path: Path) -> None:
    """Refuse to begin anew where a log is left of a database that is gone."""
    leftovers = [name for name in beside(path) if _stat(name) is not None]
    if leftovers:
        raise StoreDamaged(path, f"is missing, but {leftovers[0].name} is there")


def beside(path: Path) -> tuple[Path, ...]:
    """What SQLite may keep beside a database, and needs to read it."""
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def check_file(path: Path, *, mend: bool = True) -> None:
    """Refuse a file that is not ours or no database of a hub; `mend` takes others' rights away."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnsafe(path, "is not a regular file")
    if found.st_uid not in (os.getuid(), 0):
        raise StoreUnsafe(path, f"belongs to another user (uid {found.st_uid})")
    try:
        opened = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StoreUnsafe(path, f"cannot be opened: {error.strerror}") from error
    try:
        header = os.read(opened, _HEADER_BYTES)
        if mend and found.st_mode & 0o077:
            os.fchmod(opened, 0o600)
    finally:
        os.close(opened)
    if not header:
        raise StoreDamaged(path, "is empty")
    if not header.startswith(_HEADER):
        raise StoreDamaged(path, "is not a SQLite database")
    # Before anything is opened: even setting the journal mode would change another's file.
    if header[_APPLICATION_ID_AT:][:4] != APPLICATION_ID.to_bytes(4, "big"):
        raise StoreDamaged(path, "is not a database of this hub")


def check_log(path: Path) -> None:
    """Refuse a database whose log has lost something; to be asked before it is opened."""
    try:
        words = lost_beside(path)
    except OSError as error:
        raise StoreUnsafe(path, f"its log cannot be read: {error.strerror}") from error
    if words is not None:
        raise StoreDamaged(
            path,
            words,
            fix="restore it from a backup, or go on with what is whole: "
            "docs/how-to/mend-the-store.md tells how",
        )


def check_whole(path: Path) -> None:
    """Refuse a database that is damaged or of a newer release, and change nothing of it."""
    with closing(connect_to_look(path)) as connection:
        check_contents(path, connection)


def check_contents(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a database of a newer release, and one that is damaged."""
    version = _version(connection)
    if version > len(migrations()):
        raise StoreTooNew(path, version, len(migrations()))
    if path.stat().st_size <= CHECKED_BYTES:
        result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if result != "ok":
            raise StoreDamaged(path, f"is damaged: {str(result).splitlines()[0]}")


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT schema_version FROM store").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the table store has no row")
    return int(row[0])


def _build(connection: sqlite3.Connection, store_id: str) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _split(migrations()[0]):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO store (only, schema_version, store_id) VALUES (1, 1, ?)", (store_id,)
    )
    connection.execute("COMMIT")
    _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    for version, script in enumerate(migrations()[_version(connection) :], _version(connection)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in _split(script):
            connection.execute(statement)
        connection.execute("UPDATE store SET schema_version = ?", (version + 1,))
        connection.execute("COMMIT")


def _split(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
