"""The user's own files: read only where they are safe from others, in folders that are private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from relay_core.errors import SettingsError

MAX_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_CHUNK = 64 * 1024


def read_user_file(path: Path, *, max_bytes: int = MAX_BYTES) -> str | None:
    """Read a settings file as UTF-8 text; None when there is no such file.

    A link is followed; what it points to must be a regular file that belongs to this user (or
    root), that others cannot write to, of at most `max_bytes`, and that does not change while it is
    read. A file that is there but cannot be read is an error, never as if it were missing.
    SettingsError names the file and, where the text is at fault, the line.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise SettingsError("is a link to nothing", file=path) from error
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot be read: {_why(error)}", file=path) from error
    try:
        before = os.fstat(opened)
        _refuse_unsafe(path, before, max_bytes)
        data = _read(opened, max_bytes + 1)
        after = os.fstat(opened)
    except OSError as error:
        raise SettingsError(f"cannot be read: {_why(error)}", file=path) from error
    finally:
        os.close(opened)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(
        data
    ) != after.st_size:
        raise SettingsError("changed while it was read", file=path, fix="try again")
    return _text(path, data)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only this user may enter, and so each one above it that is missing."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def replace_user_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file that only this user may read, in one step: whoever reads it sees the old content
    or the new.

    `durable`: it is on the disk when this returns. The folder must be there; OSError where it
    cannot be written.
    """
    # A name that nobody can foresee: the folder may be one in which others write, and two threads
    # may write at the same time.
    import tempfile  # heavy, and whoever only reads needs none

    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _refuse_unsafe(path: Path, found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError("is not a regular file", file=path)
    if found.st_uid not in (os.getuid(), 0):
        raise SettingsError(f"belongs to another user (uid {found.st_uid})", file=path)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError("can be written by others", file=path, fix=f"chmod go-w {path}")
    if found.st_size > max_bytes:
        raise SettingsError(f"is larger than {max_bytes} bytes", file=path)


def _read(opened: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (chunk := os.read(opened, min(_CHUNK, most - len(data)))):
        data += chunk
    return data


def _text(path: Path, data: bytes) -> str:
    if data.startswith(_BOM):
        raise SettingsError(
            "starts with a byte order mark", file=path, line=1, fix="save it as UTF-8"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError("is not UTF-8", file=path, line=line, fix="save it as UTF-8") from error


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
