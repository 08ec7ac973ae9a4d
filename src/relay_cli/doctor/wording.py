"""Commands and advice, written out."""

# Rule: pure.

from __future__ import annotations

import shlex
from pathlib import Path

from relay_cli.doctor.facts import Trouble
from relay_cli.doctor.kinds import Finding, found


def typed(*words: str | Path | None) -> str:
    """Write a command as it is typed."""
    return shlex.join(str(word) for word in words)


def broken(code: str, trouble: Trouble) -> Finding:
    """A file of the user's that must be corrected: by a command where its mode is at fault."""
    if trouble.unreadable:
        return found(code, trouble.detail, command=typed("chmod", "600", trouble.file))
    if trouble.fix is not None and trouble.fix.startswith("chmod "):
        return found(code, trouble.detail, command=typed("chmod", "go-w", trouble.file))
    line = f"line {trouble.line} of {trouble.file}" if trouble.line else str(trouble.file)
    advice = f"correct {line}" + (f": {trouble.fix}" if trouble.fix else "")
    return found(code, trouble.detail, advice=advice)
