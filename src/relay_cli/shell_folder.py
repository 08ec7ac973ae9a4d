"""The folder that a command was typed in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relay_cli.problems import Failed


def shell_folder(environ: Mapping[str, str]) -> str:
    """Find the current folder as the shell shows it, links and all; Failed where it is gone."""
    try:
        real = str(Path.cwd())
    except FileNotFoundError as error:
        detail = "the folder that this shell is in is gone"
        raise Failed(detail, fix="cd to one that is there") from error
    shown = environ.get("PWD", "")
    is_same = shown.startswith("/") and Path(shown).is_dir() and Path(shown).samefile(real)
    return shown if is_same else real
