"""Tokens: made here, kept by their bearers; the hub knows their hashes."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from relay_core.errors import SettingsError
from relay_core.hub_proof import token_hash
from relay_core.ports import Random
from relay_core.user_files import make_private_folder

__all__ = ["new_token", "read_or_make_token", "read_token", "token_hash"]

_TOKEN = re.compile(r"[\x21-\x7e]{16,512}")
_BYTES = 32


def new_token(random: Random) -> str:
    """Draw a token of 256 bits."""
    return random.token_hex(_BYTES)


def read_or_make_token(path: Path, random: Random) -> str:
    """Read the user token, or make one: 0600, never through a link, whole or not at all.

    SettingsError when what is there is no safe token file.
    """
    try:
        make_private_folder(path.parent)
        opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        if not os.path.lexists(path):
            _write(path, new_token(random), opened)
    finally:
        os.close(opened)
    return read_token(path)


def read_token(path: Path) -> str:
    """Read the user token; SettingsError when it is missing, unsafe or no token."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise SettingsError("is not a regular file", file=path, fix=_fix(path))
        if found.st_uid not in (os.getuid(), 0):
            raise SettingsError("belongs to another user", file=path, fix=_fix(path))
        if found.st_mode & 0o077:
            raise SettingsError(
                "can be read by others",
                file=path,
                fix=f"chmod 600 {path}, or make a new one: {_fix(path)}",
            )
        token = os.read(opened, 1024).decode("ascii", "replace").removesuffix("\n")
    finally:
        os.close(opened)
    if not _TOKEN.fullmatch(token):
        raise SettingsError("holds no token (one line of visible ASCII)", file=path, fix=_fix(path))
    return token


def _write(path: Path, token: str, folder: int) -> None:
    # A link is what makes it whole or absent, and lets only one of two processes win.
    new = f".{path.name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        written = os.open(new, flags, 0o600, dir_fd=folder)
        try:
            os.write(written, f"{token}\n".encode())
            os.fsync(written)
        finally:
            os.close(written)
        try:
            os.link(new, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            pass  # another process was first: its token is read
        finally:
            os.unlink(new, dir_fd=folder)
        os.fsync(folder)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> SettingsError:
    why = (error.strerror or str(error)).lower()
    return SettingsError(f"cannot be used: {why}", file=path, fix=f"look at it with: ls -ld {path}")


def _fix(path: Path) -> str:
    return f"rm {path}, then: agent-relay up"
