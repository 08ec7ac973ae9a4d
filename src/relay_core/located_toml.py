"""A TOML document of which every key knows its line, for errors that can be found."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import cast

from relay_core.errors import SettingsError

Tree = dict[str, object]


class TomlText:
    """The text of config.toml, and where in it a key stands."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self._lines = text.split("\n")
        try:
            self.tree: dict[str, object] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line ([0-9]+)", str(error))
            detail = re.sub(r" \(at .*\)$", "", str(error))
            raise self._broken(detail, int(line[1]) if line else len(self._lines)) from error
        except RecursionError as error:
            raise self._broken("is nested too deeply", None) from error
        except ValueError as error:  # a number with thousands of digits
            raise self._broken(str(error), None) from error

    def _broken(self, detail: str, line: int | None) -> SettingsError:
        return SettingsError(f"not valid TOML: {detail}", file=self.file, line=line)

    def wrong(self, path: tuple[str, ...], detail: str, fix: str | None = None) -> SettingsError:
        """Make the error for what is wrong at a key."""
        shown = ".".join(path)
        return SettingsError(f"{shown}: {detail}", file=self.file, line=self.line(path), fix=fix)

    def where(self, path: tuple[str, ...]) -> str:
        """Name the place of a key, as `FILE:LINE`."""
        line = self.line(path)
        return f"{self.file}:{line}" if line else str(self.file)

    def line(self, path: tuple[str, ...]) -> int | None:
        """The line of a key or of the table that it is in; tomllib keeps no places."""
        best, best_line = 0, None
        table: tuple[str, ...] = ()
        for number, text in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[\[?([^\]]+)\]", text):
                table = at = _keys(f"[{header[1]}]")
            elif key := re.match(r"\s*([^=#]+?)\s*=", text):
                at = (*table, *_keys(f"{key[1]} = 0"))
            else:
                continue
            if len(at) > best and path[: len(at)] == at:
                best, best_line = len(at), number
        return best_line


def _keys(line: str) -> tuple[str, ...]:
    try:
        node: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    found: list[str] = []
    while isinstance(node, dict) and node:
        table = cast("Tree", node)
        key = next(iter(table))
        found.append(key)
        node = table[key]
    return tuple(found)
