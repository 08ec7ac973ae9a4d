"""A process of a benchmark's own: started, listened to, and ended by its pid."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

ROOT = Path(__file__).parents[1]
LINE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LONGEST_LINE = 8 * 1024 * 1024

T = TypeVar("T")


class ChildFailed(Exception):
    """A process of ours ended or fell silent; what it wrote last is in the message."""


class Child:
    """Runs one Python program (`-m module …`); an async context manager that ends it."""

    def __init__(self, program: Sequence[str], *, environ: Mapping[str, str], log: Path) -> None:
        self._program = tuple(program)
        self._environ = dict(environ)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                cwd=ROOT,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LONGEST_LINE,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def says(self, kind: type[T]) -> T:
        """Read its next line of JSON; ChildFailed when there is none, or it is something else."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LINE_TIMEOUT_S):
                line = await process.stdout.readline()
            return msgspec.json.decode(line, type=kind)
        except (TimeoutError, msgspec.DecodeError) as error:
            said = self._log.read_text(errors="replace")[-2_000:]
            raise ChildFailed(
                f"{' '.join(self._program[:3])} said nothing useful\n{said}"
            ) from error
