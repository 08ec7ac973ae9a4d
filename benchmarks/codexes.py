"""Which real Codexes a run can use: the one that the relay would find, and one more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relay_core import RelayError, Struct
from relay_plugins.codex.launcher import CodexBinary, codex_at, find_codex

SECOND = "AGENT_RELAY_TEST_CODEX_169"
"""Names a Codex binary, or the folder that npm installed one to."""

NPM_BINARY = "node_modules/@openai/codex-*/vendor/*/bin/codex"


class Missing(Struct):
    """A Codex that is not there."""

    name: str
    why: str


def wanted_codexes(environ: Mapping[str, str]) -> tuple[CodexBinary | Missing, ...]:
    """Find both; the second is left out where it is the first."""
    first = _first(environ)
    second = _second(environ)
    if isinstance(first, CodexBinary) and isinstance(second, CodexBinary):
        return (first,) if first.version == second.version else (first, second)
    return (first, second)


def _first(environ: Mapping[str, str]) -> CodexBinary | Missing:
    try:
        return find_codex(environ)
    except RelayError as error:
        return Missing(name="Codex", why=f"{error.detail}; {error.fix}")


def _second(environ: Mapping[str, str]) -> CodexBinary | Missing:
    name = "a second Codex"
    value = environ.get(SECOND)
    if not value:
        return Missing(name=name, why=f"{SECOND} names none")
    path = Path(value)
    binaries = [path] if path.is_file() else sorted(path.glob(NPM_BINARY))
    if not binaries:
        return Missing(name=name, why=f"{SECOND} names a folder without one: tox -e codex fills it")
    try:
        return codex_at(binaries[0], environ)
    except RelayError as error:
        return Missing(name=name, why=error.detail)
