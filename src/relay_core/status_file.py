"""A session's status in a file of the user's choice, for programs that look there."""

# Rule 1: the file is replaced in one step, at every change; whoever reads it never sees half of it.
# Rule 2: it goes when the session is closed; not when another session has written it meanwhile.
# Rule 3: a file that cannot be written is said in the log and changes nothing else.

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from relay_core.host_api import SessionStatus
from relay_core.seat import Seat, log
from relay_core.sessions import Activity
from relay_core.user_files import replace_user_file

THREAD_STATUS = {
    Activity.AT_REST: "idle",
    Activity.IN_TURN: "active",
    Activity.WAITING_FOR_USER: "active",
    Activity.AWAY: "notLoaded",
}
"""The agent's own words for what its session does, as programs know them from such files."""


class SessionState(SessionStatus, kw_only=True):
    """The content of the file: a session's status, and parts of it under the names that programs
    know from such files."""

    agent_instance_id: str
    agent_epoch: int
    active_turn_id: str | None
    thread_status: str


class StatusFile:
    """Keeps the file of one session, where its environment names one; `run` goes on until it is
    cancelled."""

    def __init__(self, seat: Seat, status: Callable[[], SessionStatus]) -> None:
        self._seat = seat
        self._status = status
        self._stale = asyncio.Event()
        self._written: tuple[Path, bytes] | None = None

    def refresh(self) -> None:
        """Write the file again soon: something may have changed."""
        self._stale.set()

    async def run(self) -> None:
        """Write the file whenever its content is another one."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            named = self._seat.seen.status_file
            if named is None:
                continue
            wanted = (Path(named), msgspec.json.encode(self._state()) + b"\n")
            if wanted == self._written:
                continue
            try:
                await asyncio.to_thread(replace_user_file, *wanted, durable=False)
            except (OSError, ValueError) as error:
                log.warning("%s: no status in %s: %s", self._seat.agent_id, named, error)
            else:
                self._written = wanted

    async def remove(self) -> None:
        """Take the file away, where it still says what was written last."""
        if self._written is not None:
            await asyncio.to_thread(_remove, *self._written)
            self._written = None

    def _state(self) -> SessionState:
        status = self._status()
        return SessionState(
            **msgspec.structs.asdict(status),
            agent_instance_id=status.instance_id,
            agent_epoch=status.epoch,
            active_turn_id=status.active_turn,
            thread_status=THREAD_STATUS[status.activity],
        )


def _remove(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            path.unlink()
