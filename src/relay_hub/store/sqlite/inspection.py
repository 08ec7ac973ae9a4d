"""Looking at a database without changing anything: neither it nor what lies beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from relay_hub.store.sqlite.opening import (
    CHECKED_BYTES,
    beside,
    check_contents,
    check_file,
    check_log,
    check_whole,
    connect_to_look,
    errors_at,
    refuse_leftovers,
)


def files_of(path: Path) -> tuple[Path, ...]:
    """The database and what SQLite and the hub keep beside it, as far as it is there."""
    shared = path.with_name(f"{path.name}-shm")
    return tuple(each for each in (path, *beside(path), shared) if os.path.lexists(each))


def inspect(path: Path) -> None:
    """Raise what would keep a hub from opening it; nothing where all is well or nothing is there.

    No hub may use the database meanwhile: half of a change would look like damage.
    """
    if not path.exists() and not path.is_symlink():
        refuse_leftovers(path)
        return
    check_file(path, mend=False)
    check_log(path)
    if path.stat().st_size > CHECKED_BYTES:
        return
    with errors_at(path):
        if any(each.exists() for each in beside(path)):
            _inspect_copy(path)
            return
        check_whole(path)


def _inspect_copy(path: Path) -> None:
    """With a log beside it, SQLite would write: a copy may be written to."""
    with tempfile.TemporaryDirectory(prefix="agent-relay-") as folder:
        copy = Path(folder) / path.name
        for each in files_of(path):
            if not each.name.endswith("-shm"):
                shutil.copyfile(each, Path(folder) / each.name)
        with closing(connect_to_look(copy)) as connection:
            check_contents(path, connection)
