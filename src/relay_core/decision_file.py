"""The record of decisions on disk: two private files of JSON lines, the older one set aside."""

# Rule 1: no decision waits for the disk. What a full or broken disk cannot take is missed, and the
#         log says so.
# Rule 2: several hosts may write into one file: whole lines, one after another, under a lock.
# Rule 3: a line that cannot be read is skipped and counted; the rest is told.

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from relay_core.errors import SettingsError
from relay_core.messages import AgentId, MessageId, Struct
from relay_core.recorded import Inquiry, RecordedDecision, recorded
from relay_core.user_files import make_private_folder

log = logging.getLogger("relay.decisions")

LIMIT_BYTES = 8 * 1024 * 1024
"""How long a file may be before it is set aside, in the place of the one that was."""

BATCH_S = 0.2
"""How long decisions are gathered before they are written together."""

MOST_WAITING = 5_000
"""Decisions that may wait for a slow disk; later ones are missed."""

LOCK_WAIT_S = 1.0
_LOCK_STEP_S = 0.01
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(RecordedDecision)


class DecisionFile:
    """Writes the decisions of one host down; `host` is its version, `versions` its plugins'."""

    def __init__(
        self,
        file: Path,
        *,
        host: str,
        versions: Mapping[str, str],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._file = file
        self._host = host
        self._versions = versions
        self._limit_bytes = limit_bytes
        self._waiting: list[Inquiry] = []
        self._some = asyncio.Event()
        self._missed = 0
        self._trouble: str | None = None
        self._turn = threading.Lock()
        self._last: dict[tuple[AgentId, str], RecordedDecision] = {}

    def add(self, inquiry: Inquiry) -> None:
        """Take one; returns at once and never raises."""
        if len(self._waiting) >= MOST_WAITING:
            self._missed += 1
            return
        self._waiting.append(inquiry)
        self._some.set()

    async def keep(self) -> None:
        """Write down what was taken, for as long as the host lives."""
        while True:
            await self._some.wait()
            await asyncio.sleep(BATCH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write down what is left."""
        batch, self._waiting = self._waiting, []
        missed, self._missed = self._missed, 0
        self._some.clear()
        if missed:
            log.warning("%d decisions were not written to %s: it is slow", missed, self._file)
        if batch:
            await asyncio.to_thread(self._write, batch)

    def _write(self, batch: list[Inquiry]) -> None:
        with self._turn:
            lines = b"".join(self._lines(batch))
            try:
                if lines:
                    append(self._file, lines, self._limit_bytes)
            except OSError as error:
                self._complain(f"{self._file}: {error.strerror or error}")
            else:
                self._trouble = None

    def _lines(self, batch: list[Inquiry]) -> Iterator[bytes]:
        for inquiry in batch:
            try:
                found = recorded(inquiry, host=self._host, versions=self._versions)
                line = _ENCODER.encode(found) + b"\n"
            except (ValueError, TypeError, msgspec.MsgspecError) as error:
                # A folder's name, say, need not be text.
                self._complain(f"a decision of {inquiry.session.id} cannot be written: {error}")
                continue
            place = found.agent_id, found.hook
            if not found.repeats(self._last.get(place)):
                self._last[place] = found
                yield line

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("decisions are not recorded: %s", trouble)
            self._trouble = trouble


class Found(Struct):
    """What the record tells of one message, oldest first; `damaged` lines could not be read."""

    decisions: tuple[RecordedDecision, ...] = ()
    damaged: int = 0


def append(file: Path, lines: bytes, limit_bytes: int = LIMIT_BYTES) -> None:
    """Add whole lines to the record; a file that would get too long is set aside first.

    OSError where that cannot be, as when it is no file of this user's.
    """
    make_private_folder(file.parent)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(file, flags, 0o600)
        try:
            _lock(descriptor)
            found = _private(descriptor)
            if not _is_still(file, found):
                continue  # another host has set it aside meanwhile
            if found.st_size and found.st_size + len(lines) > limit_bytes:
                file.replace(older(file))
                continue
            if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
                lines = b"\n" + lines  # a host that was killed has left half a line
            _write_all(descriptor, lines)
            return
        finally:
            os.close(descriptor)


def read(file: Path, message_id: MessageId, created_at: int | None = None) -> Found:
    """Find what was decided about a message.

    SettingsError where a file is there but cannot be read.
    """
    about = b'"id":%d,' % message_id
    damaged = 0
    found: list[RecordedDecision] = []
    for line in _lines_of(file):
        if not (line.startswith(b"{") and line.endswith(b"}")):
            damaged += 1
        elif about in line:
            try:
                decision = _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                damaged += 1
                continue
            if decision.is_about(message_id, created_at):
                found.append(decision)
    return Found(decisions=tuple(sorted(found, key=lambda each: each.at_ms)), damaged=damaged)


def older(file: Path) -> Path:
    """Where a file goes that is long enough."""
    return file.with_name(f"{file.name}.1")


def _lock(descriptor: int) -> None:
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_LOCK_STEP_S)
        else:
            return


def _private(descriptor: int) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
        raise OSError("is no file of yours")
    if found.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
    return found


def _is_still(file: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, file.lstat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _lines_of(file: Path) -> Iterator[bytes]:
    # The newer one first: when it is set aside meanwhile, it is read twice and not never.
    newer, seen = _content(file)
    before, same = _content(older(file))
    if seen is None or same is None or not os.path.samestat(seen, same):
        yield from filter(None, before.split(b"\n"))
    yield from filter(None, newer.split(b"\n"))


def _content(file: Path) -> tuple[bytes, os.stat_result | None]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags)
    except (FileNotFoundError, NotADirectoryError):
        return b"", None
    except OSError as error:
        raise _unreadable(file, error) from error
    with os.fdopen(descriptor, "rb") as stream:
        try:
            return stream.read(), os.fstat(stream.fileno())
        except OSError as error:
            raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> SettingsError:
    why = (error.strerror or str(error)).lower()
    return SettingsError(f"cannot be read: {why}", file=file, fix=f"rm {file}")
