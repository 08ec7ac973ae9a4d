"""Where a running host writes what happens: a log file in full, the terminal one line each."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from relay_cli.terminal import safe_line
from relay_core.user_files import make_private_folder

DETACHED_LOG = "up.log"
"""What a detached `up` prints, beside the log file; see `start_detached`."""

LOG_BYTES = 2_000_000
LOGS_KEPT = 3
NOISY = ("httpx", "httpcore", "websockets", "uvicorn", "asyncio")


class _OneLine(logging.Formatter):
    """Leaves tracebacks to the log file, and control characters nowhere."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"agent-relay: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]}"
        return safe_line(text)


class _PrivateFile(RotatingFileHandler):
    """A log file that only its owner can read, also after it was rotated."""

    def _open(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as the parent declares it
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        return super()._open()


def write_logs(file: Path) -> None:
    """Send everything from INFO up to `file`, and from WARNING up to standard error.

    Not to a standard error that is the detached log: nobody reads along there, and it is never
    rotated while the host runs.
    """
    make_private_folder(file.parent)
    full = _PrivateFile(file, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8")
    full.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.handlers = [full]
    if not _is_standard_error(file.with_name(DETACHED_LOG)):
        brief = logging.StreamHandler(sys.stderr)
        brief.setLevel(logging.WARNING)
        brief.setFormatter(_OneLine())
        root.addHandler(brief)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_standard_error(file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stderr.fileno()), file.stat())
    except (OSError, ValueError):  # no such file, or no descriptor behind standard error
        return False
