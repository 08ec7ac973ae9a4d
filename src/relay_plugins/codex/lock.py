"""One host per thread: a lock file beside Codex's own, so that any two hosts meet."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from relay_core import AdapterError
from relay_plugins.codex.address import ADAPTER, check_thread_id

FOLDER = "agent-relay"


class ThreadLock:
    """The lock of one thread, held until `release` or the end of the process.

    The file is never removed while a host lives: another host may be waiting on that very file.
    """

    def __init__(self, codex_home: Path, thread_id: str) -> None:
        self.path = codex_home / FOLDER / f"{check_thread_id(thread_id)}.lock"
        self._held: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._held is not None

    def acquire(self) -> bool:
        """Take it; False when another host holds it. AdapterError when it cannot be tried."""
        if self._held is not None:
            return True
        try:
            opened = self._open()
        except OSError as error:
            raise AdapterError(
                ADAPTER, f"the lock {self.path} cannot be opened: {error}"
            ) from error
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            return False
        self._held = opened
        return True

    def release(self) -> None:
        """Let another host have it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _open(self) -> int:
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        folder = self.path.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
            raise PermissionError(f"{self.path.parent} is not a folder of this user")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)
