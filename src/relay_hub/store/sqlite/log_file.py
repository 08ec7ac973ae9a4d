"""What a log must hold: SQLite passes over the damaged end of one without a word.

The layouts are those of https://www.sqlite.org/walformat.html.
"""

# Rule 1: every commit is synced before the next one is written. So a crash can leave one commit
#         unreadable, which nobody was answered; two are damage.
# Rule 2: a process that was killed leaves its shared memory, which says how far its log reached.
#         A clean end removes it, and a commit stands in it once it was synced.

from __future__ import annotations

import struct
from pathlib import Path

from relay_core.messages import Struct

_LOG_HEADER = struct.Struct(">4I8s2I")
_FRAME_HEADER = struct.Struct(">2I8s2I")
_SUMMED_BYTES = 8
"""What of a frame's header its sum is about; the salts are compared."""
_LITTLE_ENDIAN_SUMS = 0x377F0682
_INDEX_HEADER = struct.Struct("=12xB3xI12x8s8x")
"""`isInit`, `mxFrame` and `aSalt`."""
_SHARED = struct.Struct("=48s48sI")
"""The index header, once more the same, and `nBackfill`."""
_PAGE_BYTES = 4096


class Log(Struct):
    """A log as it lies there: frames, the first is 1, and those that end a commit.

    SQLite reads up to the frame `readable`.
    """

    salts: bytes
    frames: int
    commits: tuple[int, ...]
    readable: int


class Reach(Struct):
    """How far a log is known to reach, and how far it is written back into the database."""

    salts: bytes
    frames: int
    written_back: int


def lost_beside(database: Path) -> str | None:
    """What the log beside a database that nobody uses has lost, in words; to be asked before
    SQLite opens it, which begins the shared memory anew."""
    log = _read_log(database.with_name(f"{database.name}-wal"))
    return lost(log, _read_reach(database.with_name(f"{database.name}-shm")))


def lost(log: Log | None, before: Reach | None) -> str | None:
    """Decide what was committed and is gone; `before` is what a killed process has left."""
    if before is not None and before.frames > before.written_back:
        if log is None:
            return "the log that was beside it is gone, with what was committed last"
        if log.salts == before.salts and log.frames < before.frames:
            return "the log beside it is cut short: what was committed last is gone"
        if log.salts == before.salts and log.readable < before.frames:
            return f"the log beside it is damaged after frame {log.readable}"
    if log is not None and len([each for each in log.commits if each > log.readable]) > 1:
        return f"the log beside it is damaged after frame {log.readable}"
    return None


def _read_reach(path: Path) -> Reach | None:
    data = _start_of(path, _SHARED.size)
    if data is None:
        return None
    first, second, written_back = _SHARED.unpack(data)
    is_there, frames, salts = _INDEX_HEADER.unpack(first)
    if not is_there or first != second:
        return None
    return Reach(salts=salts, frames=frames, written_back=written_back)


def _read_log(path: Path) -> Log | None:
    header = _start_of(path, _LOG_HEADER.size)
    if header is None:
        return None
    magic, _, page_bytes, _, salts, *told = _LOG_HEADER.unpack(header)
    pairs = struct.Struct("<2I" if magic == _LITTLE_ENDIAN_SUMS else ">2I")
    sums = _summed(pairs, header[:24], (0, 0))
    whole = is_whole = list(sums) == told
    if not is_whole:
        page_bytes = _PAGE_BYTES
    number = readable = 0
    commits = list[int]()
    with path.open("rb") as file:
        file.seek(_LOG_HEADER.size)
        while len(frame := file.read(_FRAME_HEADER.size + page_bytes)) > page_bytes:
            number += 1
            _, pages_after, bears, *told = _FRAME_HEADER.unpack(frame[: _FRAME_HEADER.size])
            if bears != salts and is_whole:
                whole = False  # of before the log began anew
                continue
            if pages_after:
                commits.append(number)
            if whole:
                sums = _summed(pairs, frame[:_SUMMED_BYTES], sums)
                sums = _summed(pairs, frame[_FRAME_HEADER.size :], sums)
                whole = list(sums) == told
                readable = number if whole and pages_after else readable
    return Log(salts=salts, frames=number, commits=tuple(commits), readable=readable)


def _start_of(path: Path, size: int) -> bytes | None:
    """The first bytes of a file; None where it is not there, or has less."""
    try:
        with path.open("rb") as file:
            data = file.read(size)
    except FileNotFoundError:
        return None
    return data if len(data) == size else None


def _summed(pairs: struct.Struct, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    for even, odd in pairs.iter_unpack(data):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
