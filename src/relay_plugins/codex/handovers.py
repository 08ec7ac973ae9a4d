"""What this host handed to a thread, and what became of the call: the memory behind `find`."""

# Rule 1: pure. Times come in as monotonic seconds.
# Rule 2: a call is settled by its answer, be it late, or by the loss of its connection.
# Rule 3: what is lost with this process is not missed: then the history alone decides.

from __future__ import annotations

from collections.abc import Collection

import msgspec

from relay_core import AttemptId, Struct
from relay_plugins.codex.address import Process
from relay_plugins.codex.evidence import Handed

KEPT = 200


class HandOver(Struct):
    """One hand-over; `connection` is the serial number of the connection that the call went over.

    `call` is its id for as long as an answer may come late.
    """

    handed: Handed
    connection: int
    process: Process | None = None
    call: int | None = None


class HandOvers:
    """The newest hand-overs to one thread."""

    def __init__(self) -> None:
        self._all: dict[AttemptId, HandOver] = {}

    def began(
        self, attempt: AttemptId, handed: Handed, connection: int, process: Process | None
    ) -> None:
        """A call is about to be sent."""
        while len(self._all) >= KEPT:
            del self._all[next(iter(self._all))]
        self._all[attempt] = HandOver(handed=handed, connection=connection, process=process)

    def answered(self, attempt: AttemptId, turn_id: str | None) -> None:
        """Codex took it, into this turn."""
        self._change(attempt, answered=True, turn_id=turn_id)

    def timed_out(self, attempt: AttemptId, call: int | None) -> None:
        """No answer came in time."""
        if (known := self._all.get(attempt)) is not None:
            self._all[attempt] = msgspec.structs.replace(known, call=call)

    def forget(self, attempt: AttemptId) -> None:
        """Codex refused it, or it is known to be absent."""
        self._all.pop(attempt, None)

    def connection_lost(self, connection: int, at: float) -> None:
        """Nothing that went over that connection will be answered any more."""
        for attempt, known in list(self._all.items()):
            if known.connection == connection and known.handed.lost_at is None:
                self._change(attempt, answered=True, lost_at=at)

    def handed(self, attempt: AttemptId, answered_late: Collection[int]) -> Handed | None:
        """What is known of one hand-over; `answered_late` are calls whose time limit had passed."""
        known = self._all.get(attempt)
        if known is not None and known.call is not None and known.call in answered_late:
            self._change(attempt, answered=True)
            known = self._all[attempt]
        return None if known is None else known.handed

    def process(self, attempt: AttemptId) -> Process | None:
        """The process that was handed an attempt."""
        known = self._all.get(attempt)
        return None if known is None else known.process

    def may_be_in(self, turn_id: str) -> bool:
        """Whether a turn may carry one of these."""
        return any(each.handed.turn_id in {turn_id, None} for each in self._all.values())

    def _change(self, attempt: AttemptId, **changes: object) -> None:
        if (known := self._all.get(attempt)) is not None:
            handed = msgspec.structs.replace(known.handed, **changes)
            self._all[attempt] = msgspec.structs.replace(known, handed=handed)
