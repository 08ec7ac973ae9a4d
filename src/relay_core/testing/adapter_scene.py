"""One session, one adapter to it under watch, and short words for what a check does with them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import NoReturn, TypeVar

from relay_core.errors import AdapterError
from relay_core.fence import fence
from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    DeliveryId,
    MessageId,
    Part,
    Prompt,
)
from relay_core.plans import Mode
from relay_core.ports import (
    Adapter,
    Evidence,
    HandedOver,
    Injection,
    Random,
    SessionChanged,
    SessionEvent,
    SessionSeen,
    SessionTurnEnded,
)
from relay_core.sessions import Abilities, Activity, Turn
from relay_core.testing.adapter_driver import Driver, NotMeasured, Play

PATIENCE_S = 20.0
"""How long a check waits for what is due at once; generous, for slow machines."""

LOOK_S = 0.02
SETTLE_S = 1.0
"""How long a check waits for what must not happen."""

T = TypeVar("T")


class Unfit(AssertionError):
    """The adapter did not do what the port asks; the message says what was seen."""


def unfit(seen: str) -> NoReturn:
    """End the check: this was seen, and it is wrong."""
    raise Unfit(seen)


def must(so: bool, seen: str) -> None:  # noqa: FBT001 - reads as a sentence: must(it is so, what was seen else)
    """End the check unless it is so."""
    if not so:
        unfit(seen)


class Watched:
    """An adapter with everything that it has reported so far."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.events: list[SessionEvent] = []
        self._followers: list[Callable[[SessionEvent], None]] = []
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name="adapter under watch")

    def follow(self, told: Callable[[SessionEvent], None]) -> None:
        """Tell of every event from now on, and of what was reported so far."""
        for event in self.events:
            told(event)
        self._followers.append(told)

    async def until(
        self, kind: type[T], matches: Callable[[T], bool], what: str, *, after: int = 0
    ) -> T:
        """Wait for an event, also one that is here already."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for event in self.events[after:]:
                        if isinstance(event, kind) and matches(event):
                            return event
                    self._news.clear()
                    await self._news.wait()
        self._must_listen()
        return unfit(f"the adapter did not report {what}")

    async def end(self) -> None:
        """Stop listening, as whoever closes the adapter does."""
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        async for event in self.adapter.sessions():
            self.events.append(event)
            self._news.set()
            for told in self._followers:
                told(event)

    def _must_listen(self) -> None:
        if self._listening.done() and not self._listening.cancelled():
            error = self._listening.exception()
            must(error is None, f"sessions() raised {error!r}")


class Scene:
    """What one check is given: a session at rest, and the adapter that has reported it."""

    def __init__(self, driver: Driver, random: Random) -> None:
        self.driver = driver
        self.random = random
        self.key = ""
        self._watches: list[Watched] = []
        self._beside: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    # Opening and ending --------------------------------------------------------------------------

    def needs(self, *plays: Play) -> None:
        """NotMeasured unless the driver can play all of these."""
        for play in plays:
            if play in self.driver.cannot:
                raise NotMeasured(self.driver.cannot[play])

    @property
    def watched(self) -> Watched:
        """The newest adapter."""
        return self._watches[-1]

    @property
    def adapter(self) -> Adapter:
        """The newest adapter itself."""
        return self.watched.adapter

    async def open(self) -> None:
        """Make an adapter, begin a session, and wait until the one has reported the other."""
        self._watches.append(Watched(self.driver.new_adapter()))
        self.key = await self.driver.begin()
        await self.attach()

    async def open_another(self) -> Watched:
        """Make a second adapter, which does not know the session yet."""
        self.needs(Play.RENEW)
        self._watches.append(Watched(self.driver.new_adapter()))
        return self.watched

    async def attach(self) -> SessionSeen:
        """Let the newest adapter take the session in, by hand where it must be."""
        request = self.driver.attachment(self.key)
        if request is not None:
            await self.adapter.attach(request)
        return await self.watched.until(
            SessionSeen, lambda seen: seen.key == self.key, "the session"
        )

    async def renew(self) -> None:
        """Play that the host was killed, and that another comes in its place."""
        self.needs(Play.RENEW)
        await self.abandon(self.watched)
        await self.open_another()
        await self.attach()

    async def abandon(self, watched: Watched) -> None:
        """Let an adapter's host be killed."""
        await watched.end()
        await self.driver.abandon(watched.adapter)
        self._watches.remove(watched)

    async def close(self) -> None:
        """End what the check has left; its turn must not run into the next check."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self.key:
            await self.driver.revive(self.key)
            await self.driver.release(self.key)
            await happens(lambda: self.driver.resting(self.key), PATIENCE_S)
        for watched in self._watches:
            await watched.end()
            await watched.adapter.close()

    def beside(self, work: Coroutine[object, object, None]) -> None:
        """Let something happen beside the check; it ends with the check at the latest."""
        self._beside.add(asyncio.create_task(work, name="beside a check"))

    # What it sees --------------------------------------------------------------------------------

    @property
    def claims(self) -> Abilities:
        """What the adapter says that it can do with this session now."""
        return self.adapter.describe(self.key)

    async def count(self, words: str) -> int:
        """How often these words stand in the history, by the driver's own look."""
        return sum([text.count(words) for text in await self.driver.inputs(self.key)])

    async def until_there(self, words: str) -> None:
        """Wait until the history shows these words."""
        if not await self.comes(words, PATIENCE_S):
            unfit(f"{words!r} did not come into the history")

    async def comes(self, words: str, within_s: float) -> bool:
        """Tell whether the history shows these words within some seconds."""

        async def there() -> bool:
            return await self.count(words) > 0

        return await happens(there, within_s)

    async def rest(self) -> None:
        """Wait until no turn runs, by the driver's look and by the adapter's."""
        if not await happens(lambda: self.driver.resting(self.key), PATIENCE_S):
            unfit("the turn did not end")
        await self.until_activity(Activity.AT_REST)

    async def until_activity(self, activity: Activity) -> None:
        """Wait until the adapter's last word of the session is that it does this."""

        async def so() -> bool:
            return self._last_moved() is activity

        if not await happens(so, PATIENCE_S):
            unfit(f"the session is {self._last_moved()} to the adapter, not {activity}")

    async def running(self) -> Turn:
        """Wait until the adapter shows which turn is running."""

        async def shown() -> bool:
            return self._last_turn() is not None

        await happens(shown, PATIENCE_S)
        turn = self._last_turn()
        return unfit("the adapter did not show the running turn") if turn is None else turn

    async def ended(
        self, matches: Callable[[SessionTurnEnded], bool], what: str
    ) -> SessionTurnEnded:
        """Wait for the end of a turn."""
        return await self.watched.until(
            SessionTurnEnded, lambda end: end.key == self.key and matches(end), f"the end of {what}"
        )

    # What it does --------------------------------------------------------------------------------

    def words(self, say: str) -> str:
        """Make words that stand nowhere else."""
        return f"{say}, {next(self._numbers)} {self.random.token_hex(4)}"

    def attempt(self) -> Attempt:
        """Record a new attempt."""
        return Attempt(
            id=AttemptId(self.random.token_hex(16)),
            agent_id=AgentId("kit"),
            thread_id=self.key,
            delivery_ids=(DeliveryId(1),),
            started_ms=self.driver.clock.now_ms(),
        )

    async def inject(
        self,
        attempt: Attempt,
        words: str,
        mode: Mode = Mode.START,
        turn_id: str | None = None,
        *,
        marked: bool = True,
    ) -> HandedOver:
        """Hand words over, behind the relay's fence or, not `marked`, with nothing around them.

        NotMeasured where that would wake a session that the adapter does not claim to wake.
        """
        if mode is Mode.START and not self.claims.wake:
            raise NotMeasured("the adapter does not claim to wake a session")
        prompt = Prompt(parts=(Part(message_id=MessageId(1), body=words),))
        injection = Injection(
            id=attempt.id,
            key=self.key,
            text=fence(prompt, attempt.id) if marked else words,
            marker=attempt.id,
            mode=mode,
            turn_id=turn_id,
        )
        return await self.adapter.inject(injection)

    async def find(self, attempt: Attempt) -> Evidence:
        """Ask for the evidence."""
        return await self.adapter.find(self.key, attempt, marker=attempt.id)

    async def begin_turn(self, doing: Play) -> Turn:
        """Begin a turn that is held open, the user's where it can be."""
        self.needs(doing)
        await self.driver.hold(self.key, doing)
        if Play.TYPE in self.driver.cannot:
            await self.inject(self.attempt(), self.words("a turn to begin with"))
        else:
            await self.driver.type(self.key, self.words("the user's own words"))
        await self.driver.held(self.key)
        return await self.running()

    @asynccontextmanager
    async def looking_for(self, attempt: Attempt) -> AsyncGenerator[asyncio.Task[Evidence]]:
        """Look for an attempt beside what the block does."""
        task = asyncio.create_task(self.find(attempt), name="find")
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    # Inside --------------------------------------------------------------------------------------

    def _moves(self) -> list[SessionSeen | SessionChanged]:
        return [
            event
            for event in self.watched.events
            if isinstance(event, SessionSeen | SessionChanged) and event.key == self.key
        ]

    def _last_moved(self) -> Activity | None:
        moves = self._moves()
        return moves[-1].activity if moves else None

    def _last_turn(self) -> Turn | None:
        moves = self._moves()
        return moves[-1].turn if moves else None


async def happens(look: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Look again and again; tell whether it is so within some seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while not await look():
        if loop.time() >= until:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def refusal(asked: Awaitable[object]) -> AdapterError | None:
    """The error with which an adapter refuses; None where it does not."""
    try:
        await asked
    except AdapterError as error:
        return error
    return None
