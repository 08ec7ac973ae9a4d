"""How commands print: one JSON object, or text, aligned in a pipe, coloured on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from relay_cli.problems import Problem
from relay_cli.terminal import safe_json, safe_line, safe_text

GAP = "  "


class Output:
    """Where one command prints to.

    With `as_json` only `show_object` prints anything, so that standard output holds one object.
    """

    def __init__(
        self, *, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    @property
    def is_terminal(self) -> bool:
        """Tell whether people are looking at this directly."""
        return self._stdout.isatty()

    def show_object(self, value: object) -> None:
        """Print the object of `--json`; nothing without it."""
        if self.as_json:
            self._write_json(value)

    def line(self, text: str = "") -> None:
        """Print a line of ours, in which a peer's text was made safe already or does not occur."""
        if not self.as_json:
            self._write(f"{safe_line(text)}\n")

    def block(self, text: str) -> None:
        """Print text of several lines."""
        if not self.as_json:
            self._write(f"{safe_text(text)}\n")

    def fields(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print names and values below each other, aligned."""
        if self.as_json:
            return
        listed = list(rows)
        width = max((len(name) for name, _ in listed), default=0)
        for name, value in listed:
            self._write(f"{name:<{width}}{GAP}{safe_line(value)}".rstrip() + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        """Print a table, or `empty` where there are no rows."""
        if self.as_json:
            return
        if not rows:
            self._write(f"{safe_line(empty)}\n")
        elif self.is_terminal:
            self._rich_table(columns, rows)
        else:
            self._plain_table(columns, rows)

    def more(self, command: str, number: int | None = None) -> None:
        """Say that a list goes on, and which command shows the rest of it."""
        self.line(f"and {'more' if number is None else f'{number} more'}: `{command}`")

    def remark(self, text: str) -> None:
        """Print a line beside the result, on standard error, also with `--json`."""
        self._stdout.flush()
        self._stderr.write(f"agent-relay: {safe_line(text)}\n")
        self._stderr.flush()

    def progress(self, text: str) -> None:
        """Show what is being waited for, on a terminal only; the next call replaces it."""
        if self._stderr.isatty():
            self._stderr.write(f"\r\x1b[K{safe_line(text)}")
            self._stderr.flush()

    def progress_done(self) -> None:
        """Take the progress line away."""
        if self._stderr.isatty():
            self._stderr.write("\r\x1b[K")
            self._stderr.flush()

    def problem(self, program: str, problem: Problem) -> None:
        """Print an error: one line on standard error, or one object on standard output."""
        if self.as_json:
            self._write_json({"error": problem.error})
            return
        self._stderr.write(f"{program}: {safe_line(problem.line)}\n")
        self._stderr.flush()

    def flush(self) -> None:
        """Bring everything out, so that a closed pipe is noticed here."""
        self._stdout.flush()

    def _plain_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        cells = [list(columns), *([safe_line(cell) for cell in row] for row in rows)]
        widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
        for row in cells:
            padded = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            self._write(GAP.join(padded).rstrip() + "\n")

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(safe_line(cell)) for cell in row))
        Console(file=self._stdout).print(table)

    def _write_json(self, value: object) -> None:
        encoded = msgspec.json.encode(value).decode()
        self._write(safe_json(encoded, ascii_only=not _is_utf8(self._stdout)) + "\n")

    def _write(self, text: str) -> None:
        self._stdout.write(text)


def tolerate_any_text() -> None:
    """Let standard output and error show what their encoding cannot hold, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def discard_rest() -> None:
    """Send what is still buffered nowhere: the reader has closed the pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").replace("_", "") == "utf8"
