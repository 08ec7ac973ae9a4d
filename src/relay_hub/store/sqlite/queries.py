"""Named SQL, read from the `.sql` files beside this one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z_]+)$")


@cache
def queries() -> dict[str, str]:
    """Every statement by its name; a name that is used twice is an error of ours."""
    found: dict[str, str] = {}
    for entry in sorted(
        (files("relay_hub.store.sqlite") / "sql").iterdir(), key=lambda each: each.name
    ):
        if not entry.name.endswith(".sql"):
            continue
        for name, statement in _statements(entry.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"{entry.name}: two statements are called {name}")
            found[name] = statement
    return found


@cache
def migrations() -> tuple[str, ...]:
    """The scripts that bring a database from version N to N + 1, from version 0 on."""
    folder = files("relay_hub.store.sqlite") / "sql" / "migrations"
    scripts = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda each: each.name,
    )
    for number, script in enumerate(scripts, start=1):
        if not script.name.startswith(f"{number:04}_"):
            raise ValueError(f"migration {number} is missing; found {script.name}")
    return tuple(script.read_text(encoding="utf-8") for script in scripts)


def _statements(text: str) -> Iterator[tuple[str, str]]:
    name, lines = "", list[str]()
    for line in [*text.splitlines(), "-- name: end"]:
        if (found := _NAME.match(line)) is None:
            if not line.startswith("--"):
                lines.append(line)
            continue
        if name:
            yield name, "\n".join(lines).strip().removesuffix(";")
        name, lines = found[1], []
