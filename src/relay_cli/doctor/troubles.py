"""Errors as facts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from relay_cli.doctor.facts import Trouble
from relay_core.errors import RelayError, SettingsError


def trouble(error: RelayError) -> Trouble:
    """Take from an error what can be judged."""
    file = error.file if isinstance(error, SettingsError) else None
    return Trouble(
        code=error.code,
        detail=error.detail,
        fix=error.fix,
        file=file,
        line=error.line if isinstance(error, SettingsError) else None,
        unreadable=file is not None and _not_readable(file),
    )


def _not_readable(file: Path) -> bool:
    """Tell whether it is this user's own file, which its own mode keeps from being read."""
    try:
        found = file.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and not found.st_mode & stat.S_IRUSR
