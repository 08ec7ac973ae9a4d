"""The yardstick for a durable write: the same rows committed by C, else by Python."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import percentile
from benchmarks.stage import Stage
from relay_core import Struct

SOURCE = Path(__file__).with_name("rawsqlite.c")
BODY = "x" * 400
BARE_SCHEMA = """\
CREATE TABLE message (
  id INTEGER PRIMARY KEY, sender TEXT NOT NULL, body TEXT NOT NULL, created_ms INTEGER NOT NULL
);
CREATE TABLE delivery (
  recipient INTEGER NOT NULL, message INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (recipient, message)
) WITHOUT ROWID;
"""
BARE_MESSAGE = (
    f"INSERT INTO message (id, sender, body, created_ms) VALUES (:n, 'bench', '{BODY}', 1)",  # noqa: S608
    "INSERT INTO delivery (recipient, message) VALUES (7, :n)",
)


class Commits(Struct):
    """What a run of commits came to; latencies of one transaction in microseconds."""

    per_second: float
    p50: float
    p99: float


class RawSqlite:
    """Commits messages with nothing around; `name` says in which language."""

    def __init__(self, folder: Path, program: Path | None) -> None:
        self._folder = folder
        self._program = program
        self._runs = 0
        self.name = "raw Python sqlite3 (no C compiler or no SQLite headers here)"
        if program is not None:
            self.name = "raw C SQLite"

    async def paced(self, count: int, gap_s: float) -> Commits:
        """Commit one message each `gap_s` seconds."""
        return await self._run(
            ("1", str(count), str(int(gap_s * 1e6)), "0"), BARE_SCHEMA, BARE_MESSAGE
        )

    async def batches(
        self,
        batch: int,
        seconds: float,
        *,
        schema: str = BARE_SCHEMA,
        message: Sequence[str] = BARE_MESSAGE,
    ) -> Commits:
        """Commit batches of messages one after the other for so long."""
        return await self._run((str(batch), "0", "0", str(seconds)), schema, message)

    async def _run(self, how: Sequence[str], schema: str, message: Sequence[str]) -> Commits:
        self._runs += 1
        folder = self._folder / f"raw-{self._runs}"
        folder.mkdir()
        (folder / "schema.sql").write_text(schema)
        paths = (str(folder / "raw.sqlite"), "FULL", str(folder / "schema.sql"))
        command = (sys.executable, "-m", __name__) if self._program is None else (self._program,)
        process = await asyncio.create_subprocess_exec(
            *command, *paths, *how, *message, cwd=SOURCE.parents[1], stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, f"{command[0]} failed"
        shutil.rmtree(folder)
        return msgspec.json.decode(output, type=Commits)


async def build(stage: Stage) -> RawSqlite:
    """Compile the C program; where that is impossible, the yardstick is written in Python."""
    folder = stage.folder / "raw"
    folder.mkdir(exist_ok=True)
    program = folder / "rawsqlite"
    if program.exists():
        return RawSqlite(folder, program)
    if stage.compiler is None:
        return RawSqlite(folder, None)
    process = await asyncio.create_subprocess_exec(
        stage.compiler, "-O2", "-o", str(program), str(SOURCE), "-lsqlite3",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return RawSqlite(folder, program if await process.wait() == 0 else None)


def find_compiler(environ: Mapping[str, str]) -> str | None:
    """Find a C compiler on PATH."""
    return shutil.which("cc", path=environ.get("PATH"))


def _commit(arguments: Sequence[str]) -> Commits:
    """Do what the C program does, with the same arguments."""
    path, synchronous, schema, batch, count, gap_us, seconds, *message = arguments
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.executescript(Path(schema).read_text())
    took: list[float] = []
    number, start = 0, time.perf_counter()
    end = start + float(seconds)
    while len(took) < int(count) if int(count) else time.perf_counter() < end:
        time.sleep(max(0.0, start + float(gap_us) / 1e6 * (len(took) + 1) - time.perf_counter()))
        before = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(int(batch)):
            number += 1
            for statement in message:
                connection.execute(statement, {"n": number})
        connection.execute("COMMIT")
        took.append((time.perf_counter() - before) * 1e6)
    elapsed = time.perf_counter() - start
    connection.close()
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return Commits(per_second=number / elapsed, p50=p50, p99=p99)


if __name__ == "__main__":
    print(msgspec.json.encode(_commit(sys.argv[1:])).decode())
