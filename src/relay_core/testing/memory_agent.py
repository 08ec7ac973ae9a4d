"""An agent that lives in memory, and the adapter to it: for simulations and for plugin authors'
tests.

It keeps what matters of a real one: a history that survives its crashes, running turns and steered
input that do not, hand-overs whose answer may be lost, and a user who types and interrupts. All
times are drawn from the random source that it is given, all waiting is done on the clock that it is
given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine

import msgspec

from relay_core.errors import AdapterError, SessionGone, SessionMoved
from relay_core.messages import Attempt, AttemptId, Struct, TurnStatus
from relay_core.plans import Mode
from relay_core.ports import (
    Absent,
    Clock,
    Evidence,
    Found,
    HandedOver,
    Injection,
    Random,
    SessionChanged,
    SessionEvent,
    SessionSeen,
    SessionTurnEnded,
    Unknown,
)
from relay_core.sessions import (
    Abilities,
    Activity,
    Proof,
    Provenance,
    Replying,
    Steering,
    Turn,
)

SETTLE_S = 0.5
"""How long a session must have rested, and been looked at, before what it lacks is absent."""

ABLE = Abilities(
    wake=True,
    steer=Steering.LIVE,
    interrupt=True,
    prove=Proof.BY_ID,
    reply=Replying.LINKED,
    visible=True,
)
"""What a thread can do, unless it is opened with less."""


class Item(Struct):
    """One user message in a thread's history; `attempt_id` is None for the user's own."""

    turn_id: str
    text: str
    attempt_id: AttemptId | None = None


class Faults(Struct):
    """How often things go wrong, as probabilities."""

    lose_reply: float = 0.0
    crash_after_taking: float = 0.0


class MemoryThread:
    """One thread of a `MemoryAgent`.

    `history` is what a crash leaves; `final_text` is what its next turns end with.
    """

    def __init__(self, key: str, cwd: str) -> None:
        self.key = key
        self.cwd = cwd
        self.history: list[Item] = []
        self.activity = Activity.AT_REST
        self.turn: Turn | None = None
        self.carried: list[Item] = []
        self.pending: list[Item] = []
        self.rested_since = 0.0
        self.life = 0
        self.crashes: list[float] = []
        self.abilities = ABLE
        self.final_text = "done"

    def holds(self, attempt_id: AttemptId) -> Item | None:
        """Find an attempt in the history."""
        return next((item for item in self.history if item.attempt_id == attempt_id), None)


class MemoryAgent:
    """Several threads and the adapter to them; implements `relay_core.ports.Adapter`."""

    name = "memory"

    def __init__(self, clock: Clock, random: Random, faults: Faults | None = None) -> None:
        self._clock = clock
        self._random = random
        self.faults = faults or Faults()
        self.threads: dict[str, MemoryThread] = {}
        self.in_a_tool: set[str] = set()
        self.thinking: set[str] = set()
        self._listeners: list[asyncio.Queue[SessionEvent]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # What a test does with it --------------------------------------------------------------------

    def open_thread(self, key: str, cwd: str = "/projects/demo") -> MemoryThread:
        """Begin a thread at rest."""
        thread = self.threads[key] = MemoryThread(key, cwd)
        thread.rested_since = self._clock.monotonic()
        self._emit(self._seen(thread))
        return thread

    def type(self, key: str, text: str) -> None:
        """Let the user type: a turn of the user's, or input to the running one."""
        self._take(self.threads[key], Item(turn_id="", text=text), Provenance.USERS)

    def run_a_tool(self, key: str) -> None:
        """Let the thread's turns neither take input in nor end, until they are stopped or the key
        is taken out of `in_a_tool`."""
        self.in_a_tool.add(key)

    def user_interrupts(self, key: str) -> None:
        """Let the user stop the running turn; steered input that was not taken yet is lost."""
        thread = self.threads[key]
        if thread.turn is not None:
            self._end(thread, TurnStatus.INTERRUPTED, by_us=False)

    def think_on(self, key: str) -> None:
        """Let the thread's turns take input and not end, until the key is taken out of
        `thinking`."""
        self.thinking.add(key)

    def ask(self, key: str) -> None:
        """Let the running turn wait for its user's yes."""
        self._show(key, Activity.WAITING_FOR_USER)

    def answer(self, key: str) -> None:
        """Say yes to what the turn waits for; whoever says it."""
        self._show(key, Activity.IN_TURN)

    def kill(self, key: str) -> int:
        """Kill the agent of one thread; answers which of its lives that ended."""
        thread = self.threads[key]
        thread.life += 1
        thread.crashes.append(self._clock.monotonic())
        thread.turn, thread.carried, thread.pending = None, [], []
        self._show(key, Activity.AWAY)
        return thread.life

    def revive(self, key: str) -> None:
        """Bring the agent of one thread back, at rest."""
        self.threads[key].rested_since = self._clock.monotonic()
        self._show(key, Activity.AT_REST)

    async def crash(self, key: str, down_s: float) -> None:
        """Kill the agent of one thread; it is back, at rest, after `down_s`."""
        life = self.kill(key)
        await self._clock.sleep(down_s)
        if self.threads[key].life == life:  # else the kill that came meanwhile brings it back
            self.revive(key)

    def end(self) -> None:
        """End every thread's work, at the end of a test."""
        for task in list(self._tasks):
            task.cancel()

    # The port ------------------------------------------------------------------------------------

    def sessions(self) -> AsyncIterator[SessionEvent]:
        """Report every thread, then what happens."""
        return self.watch()

    async def watch(self) -> AsyncGenerator[SessionEvent]:
        """Do the same for one of several that listen."""
        queue: asyncio.Queue[SessionEvent] = asyncio.Queue()
        for thread in self.threads.values():
            queue.put_nowait(self._seen(thread))
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    def describe(self, key: str) -> Abilities:
        """Everything, unless the thread was opened with less."""
        thread = self.threads.get(key)
        return ABLE if thread is None else thread.abilities

    async def inject(self, injection: Injection) -> HandedOver:
        """Take the input; the answer may be lost, and the agent may die right after."""
        thread = self._thread(injection.key)
        await self._clock.sleep(self._between(0.001, 0.02))
        if thread.activity is Activity.AWAY:
            raise SessionGone(self.name, "the agent is down")
        if injection.mode is Mode.STEER and (
            thread.turn is None or thread.turn.id != injection.turn_id
        ):
            raise SessionMoved(self.name, "no such turn is running")
        steered = thread.turn is not None
        item = Item(turn_id="", text=injection.text, attempt_id=injection.id)
        self._take(thread, item, Provenance.OURS)
        if self._random.random() < self.faults.crash_after_taking:
            self._spawn(self.crash(thread.key, self._between(0.1, 3)))
            await self._clock.sleep(0)
        if self._random.random() < self.faults.lose_reply:
            raise AdapterError(self.name, "no answer")
        return HandedOver(turn_id=thread.turn.id if thread.turn else None, steered=steered)

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        """Look into the history until the item is there or can no longer come."""
        del marker
        thread, began = self._thread(key), self._clock.monotonic()
        for _ in range(600):
            if (item := thread.holds(attempt.id)) is not None:
                return Found(turn_id=item.turn_id)
            if thread.activity is Activity.AWAY:
                return Unknown(why="the agent is down")
            # A hand-over of a host that has died since then may still be on its way.
            settled = self._clock.monotonic() - max(thread.rested_since, began) >= SETTLE_S
            if thread.activity is Activity.AT_REST and settled:
                return Absent(agent_crashed=self._crashed_soon_after(thread, attempt))
            await self._clock.sleep(0.1)
        return Unknown(why="not yet")

    async def interrupt(self, key: str, turn_id: str) -> None:
        """Stop a turn."""
        thread = self._thread(key)
        await self._clock.sleep(self._between(0.005, 0.02))
        if thread.turn is not None and thread.turn.id == turn_id:
            self._end(thread, TurnStatus.INTERRUPTED, by_us=True)

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Show a thread by its name, or begin it."""
        key = msgspec.json.decode(request, type=str)
        if key in self.threads:
            self._emit(self._seen(self.threads[key]))
        else:
            self.open_thread(key)
        return (key,)

    async def detach(self, key: str) -> None:
        """Forget a thread."""
        self.threads.pop(key, None)

    async def close(self) -> None:
        """Nothing to stop: who listens ends by itself, and the threads go on."""

    # Inside --------------------------------------------------------------------------------------

    def _thread(self, key: str) -> MemoryThread:
        if key not in self.threads:
            raise SessionGone(self.name, f"no thread {key}")
        return self.threads[key]

    def _take(self, thread: MemoryThread, item: Item, provenance: Provenance) -> None:
        if thread.turn is None:
            turn = Turn(id=self._random.token_hex(4), provenance=provenance)
            thread.turn, thread.activity = turn, Activity.IN_TURN
            self._emit(SessionChanged(key=thread.key, activity=Activity.IN_TURN, turn=turn))
            self._spawn(self._run(thread, turn, thread.life))
        thread.pending.append(msgspec.structs.replace(item, turn_id=thread.turn.id))

    async def _run(self, thread: MemoryThread, turn: Turn, life: int) -> None:
        """One turn: takes its input in after a moment, again and again, and ends."""
        ends = self._clock.monotonic() + self._between(0.2, 5)
        while self._clock.monotonic() < ends or thread.pending or self._held(thread.key):
            await self._clock.sleep(self._between(0.005, 0.4))
            if thread.turn is not turn or thread.life != life:
                return
            if thread.key in self.in_a_tool:
                continue
            thread.history += thread.pending
            thread.carried += thread.pending
            thread.pending = []
        self._end(thread, TurnStatus.COMPLETED, by_us=False)

    def _end(self, thread: MemoryThread, status: TurnStatus, *, by_us: bool) -> None:
        turn, carried = thread.turn, thread.carried
        if turn is None:
            return
        thread.turn, thread.carried, thread.pending = None, [], []
        self.in_a_tool.discard(thread.key)
        self.thinking.discard(thread.key)
        thread.activity = Activity.AT_REST
        thread.rested_since = self._clock.monotonic()
        ours = tuple(item.attempt_id for item in carried if item.attempt_id is not None)
        users = [item for item in carried if item.attempt_id is None]
        self._emit(
            SessionTurnEnded(
                key=thread.key,
                turn_id=turn.id,
                status=status,
                provenance=turn.provenance,
                interrupted_by_us=by_us if status is TurnStatus.INTERRUPTED else None,
                attempts=ours,
                started_by=ours[0] if ours and turn.provenance is Provenance.OURS else None,
                other_user_messages=bool(users),
                final_text=thread.final_text,
            )
        )
        self._emit(SessionChanged(key=thread.key, activity=Activity.AT_REST))

    def _crashed_soon_after(self, thread: MemoryThread, attempt: Attempt) -> bool:
        age_s = (self._clock.now_ms() - attempt.started_ms) / 1000
        began = self._clock.monotonic() - age_s
        return any(began <= crash <= began + 10 for crash in thread.crashes)

    def _held(self, key: str) -> bool:
        return key in self.in_a_tool or key in self.thinking

    def _show(self, key: str, activity: Activity) -> None:
        thread = self.threads[key]
        thread.activity = activity
        self._emit(SessionChanged(key=key, activity=activity, turn=thread.turn))

    def _seen(self, thread: MemoryThread) -> SessionSeen:
        return SessionSeen(
            key=thread.key,
            thread_id=thread.key,
            cwd=thread.cwd,
            provider="memory",
            activity=thread.activity,
            turn=thread.turn,
        )

    def _emit(self, event: SessionEvent) -> None:
        for queue in self._listeners:
            queue.put_nowait(event)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _between(self, low: float, high: float) -> float:
        return low + self._random.random() * (high - low)
