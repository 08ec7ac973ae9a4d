"""Reaching a session whose Codex has no socket: through the queue that every Codex looks into."""

# Rule 1: Codex keeps a queue of messages per thread in its CODEX_HOME. Any app-server of that home
#         may add to it; the process that has the thread open takes from it, at most 10 s later, and
#         when no turn runs. Its rows and the history show our id (seen on 0.163 and 0.169).
# Rule 2: a message that still waits there is neither found nor absent. One that was there may have
#         just been taken: for TAKEN_S after the last moment at which it was, or may have been,
#         nothing is absent. It may have been there until the first look that does not show it.
# Rule 3: a call whose answer does not come is ended with the app-server that was asked: after that
#         nothing of it is under way.
# Rule 4: what still waits when the process is gone is taken out again: whoever opens the thread
#         later would run it by himself, and it is sent anew by then. Taking out tells whether it
#         was still there.
# Rule 5: how a thread of another process stands is read from its history. A turn that has not ended
#         reads as interrupted, without a time at which it was completed; of a turn that is older
#         than the process that means that a former one died.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import msgspec

from relay_core import Clock, Struct
from relay_plugins.codex.address import Process, is_alive, started_s
from relay_plugins.codex.client import CallRefused, Connection, Frames, Unanswered
from relay_plugins.codex.evidence import NOT_LOADED, no_history_yet
from relay_plugins.codex.protocol import Protocol
from relay_plugins.codex.wire import (
    CLIENT_ID_PREFIX,
    RUNNING,
    QueueDeleteParams,
    QueueDeleteResult,
    QueuedSubmission,
    QueueListParams,
    QueueListResult,
    RpcError,
    Thread,
    ThreadReadResult,
    ThreadStatus,
    Turn,
    TurnsListParams,
    TurnsListResult,
    TurnStartParams,
    TurnStartResult,
)

TAKEN_S = 10.0
CLOCK_SLACK_S = 2.0
NEEDS_A_SOCKET = frozenset({"turn/steer", "turn/interrupt", "thread/revert"})

T = TypeVar("T")


class Waiting:
    """What may still come out of the queues of some threads; outlives the connections.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._until: dict[str, float] = {}

    def added(self, thread_id: str) -> None:
        """Something is about to be put in."""
        self._open.add(thread_id)

    def looked(self, thread_id: str, now: float, *, there: bool) -> None:
        """The queue was read. What is not seen was possibly there until now, the first time."""
        if there:
            self._open.add(thread_id)
        elif thread_id in self._open or thread_id not in self._until:
            self._open.discard(thread_id)
            self._until[thread_id] = now

    def may_come(self, thread_id: str, now: float) -> bool:
        """Whether something may be taken out still, or was taken and is not listed yet."""
        if thread_id in self._open or thread_id not in self._until:
            return True
        return now - self._until[thread_id] < TAKEN_S

    def forget(self, thread_id: str) -> None:
        """Nobody asks about this thread any more."""
        self._open.discard(thread_id)
        self._until.pop(thread_id, None)


class QueueConnection(Connection):
    """Looks and acts as a connection to the process that has the threads open.

    `owners` tells which process that is, by thread; `waiting` is kept over connections.
    """

    def __init__(
        self,
        frames: Frames,
        protocol: Protocol,
        notified: Callable[[str, msgspec.Raw], None],
        *,
        owners: Mapping[str, Process],
        waiting: Waiting,
        clock: Clock,
    ) -> None:
        super().__init__(frames, protocol, notified)
        self._owners = owners
        self._clock = clock
        self._waiting = waiting

    def may_come(self, thread_id: str) -> bool:
        """Whether what was in the queue may have been taken without being listed yet."""
        return self._waiting.may_come(thread_id, self._clock.monotonic())

    async def call(
        self, method: str, params: Struct, answer: type[T], *, timeout_s: float | None = None
    ) -> T:
        """Make a call as `Connection.call`; what would act on a thread goes through its queue."""
        if method in NEEDS_A_SOCKET:
            raise CallRefused(method, RpcError(message="this session's Codex has no socket"))
        if isinstance(params, TurnStartParams):
            return cast("T", await self._add(params))
        done = await super().call(method, params, answer, timeout_s=timeout_s)
        if isinstance(done, ThreadReadResult):
            return cast("T", ThreadReadResult(thread=await self._as_it_stands(done.thread)))
        if isinstance(done, TurnsListResult) and isinstance(params, TurnsListParams):
            turns = tuple(self._as_it_runs(params.thread_id, turn) for turn in done.data)
            return cast("T", msgspec.structs.replace(done, data=turns))
        return done

    async def _add(self, params: TurnStartParams) -> TurnStartResult:
        self._waiting.added(params.thread_id)
        try:
            await super().call("thread/queue/add", params, msgspec.Raw)
        except Unanswered:
            await self.close()
            raise
        return TurnStartResult(turn=Turn(id="", status=RUNNING))

    async def _as_it_stands(self, thread: Thread) -> Thread:
        """Give a thread the status that its own process would tell."""
        owner = self._owners.get(thread.id)
        gone = owner is None or not is_alive(owner)
        rows = await queued(self, thread.id)
        self._waiting.looked(thread.id, self._clock.monotonic(), there=bool(rows))
        if gone:
            for row in rows:
                await take_out(self, thread.id, row)
            return msgspec.structs.replace(thread, status=ThreadStatus(type=NOT_LOADED))
        params = TurnsListParams(thread_id=thread.id, items_view="notLoaded", limit=1)
        try:
            newest = (await self.call("thread/turns/list", params, TurnsListResult)).data
        except CallRefused as refused:
            if not no_history_yet(refused.error.message):
                raise
            newest = ()
        running = bool(newest) and newest[0].running
        status = ThreadStatus(type="active" if running else "idle")
        return msgspec.structs.replace(thread, status=status)

    def _as_it_runs(self, thread_id: str, turn: Turn) -> Turn:
        owner = self._owners.get(thread_id)
        if turn.status != "interrupted" or turn.completed_at is not None or owner is None:
            return turn
        began = turn.started_at or 0
        if not is_alive(owner) or began + CLOCK_SLACK_S < started_s(owner):
            return turn
        return msgspec.structs.replace(turn, status=RUNNING)


async def queued(connection: Connection, thread_id: str) -> tuple[QueuedSubmission, ...]:
    """What of ours waits in a thread's queue."""
    params = QueueListParams(thread_id=thread_id)
    rows = (await connection.call("thread/queue/list", params, QueueListResult)).data
    return tuple(row for row in rows if row.client_user_message_id.startswith(CLIENT_ID_PREFIX))


async def take_out(connection: Connection, thread_id: str, row: QueuedSubmission) -> bool:
    """Take a message out of a thread's queue; False when it was not there any more."""
    params = QueueDeleteParams(thread_id=thread_id, queued_submission_id=row.id)
    return (await connection.call("thread/queue/delete", params, QueueDeleteResult)).deleted
