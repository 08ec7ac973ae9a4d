"""The file in which Codex keeps a thread. Its format is Codex's own and may change."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_tail(path: Path, most: int) -> list[bytes]:
    """Read the last lines, at most so many bytes; none when the path is no file that can be read.

    The first line may be cut in half.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return []
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            return []
        return os.pread(opened, most, max(0, found.st_size - most)).splitlines()
    finally:
        os.close(opened)
