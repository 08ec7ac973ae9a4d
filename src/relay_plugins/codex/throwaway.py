"""Environments that their tool makes for one run and may delete at any time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

_UV = re.compile(r"(archive|environments|builds)-v[0-9]+")


def throwaway_tool(prefix: Path, environ: Mapping[str, str]) -> str | None:
    """Name the tool that may delete the environment at `prefix`; None where it is there to stay.

    `uvx` and `uv run --with` keep theirs in uv's cache, `pipx run` in one of its own.
    """
    cache = environ.get("UV_CACHE_DIR")
    if cache and prefix.is_relative_to(cache):
        return "uvx"
    parts = prefix.parts
    if any(_UV.fullmatch(part) for part in parts):
        return "uvx"
    pairs = set(itertools.pairwise(parts))
    if pairs & {(".cache", "pipx"), ("Caches", "pipx"), ("pipx", ".cache")}:
        return "pipx run"
    home = environ.get("PIPX_HOME")
    return "pipx run" if home and prefix.is_relative_to(Path(home) / ".cache") else None
