"""What `agent-relay tail` shows: the hub's stream, told apart into events, over reconnects.

The stream gives hints; what an event is about is asked from the hub. When the stream breaks, what
came meanwhile is looked up after the next connect, so that no message is missed.
"""

# Rule 1: a delivery is told once for each state it is in; what was told already is not told again.
# Rule 2: only what happens from now on is told, and what happened to those messages meanwhile.

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay_core.errors import HubRefused, HubUnreachable
from relay_core.hub_api import (
    ErrorFrame,
    MailFrame,
    MessageView,
    ReceiptFrame,
    StreamFrame,
    WatchingFrame,
)
from relay_core.messages import (
    AgentId,
    AnswerState,
    ClaimState,
    Delivery,
    DeliveryState,
    Message,
    MessageId,
    RequestAnswer,
    Struct,
    TurnStatus,
)
from relay_core.receipts import work_of

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
NOT_OURS = frozenset({403, 404})
"""How the hub refuses a message that is not ours to see, or forgotten meanwhile."""
LATER = frozenset({429, 503})
"""How it says that it has no room now."""
MOST_CAUGHT_UP = 500
"""Messages that are looked up after a reconnect; of more, the newest ones."""
MOST_FOLLOWED = 2_000
"""Messages whose deliveries are followed; the oldest are let go."""

_PASSING = frozenset({DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.INJECTING})
_ANSWERS = frozenset({AnswerState.ANSWERED, AnswerState.ENDED_WITHOUT_REPLY})
_OVER = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.EXPIRED, DeliveryState.CANCELLED, DeliveryState.DEAD}
)


class EventKind(enum.StrEnum):
    """What an event is about."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    MAIL = "mail"
    RECEIPT = "receipt"


class Fact(enum.StrEnum):
    """What a receipt is about."""

    DELIVERY = "delivery"
    TURN = "turn"
    WORK = "work"
    ANSWER = "answer"


class Event(Struct, omit_defaults=True):
    """One line of `tail --json`; `at_ms` is milliseconds since the Unix epoch by this machine.

    `mail`: a message for an agent is at the hub. `receipt`: something became of it, and `fact` says
    what: its delivery has got somewhere, the turn that carried it has ended, its work (`claim`) has
    been taken or ended, it was answered. `connected`: with how many messages were `missed` before.
    """

    event: EventKind
    at_ms: int
    message: Message | None = None
    delivery: Delivery | None = None
    fact: Fact | None = None
    claim: ClaimState | None = None
    missed: int = 0


class Standing(Struct):
    """What of a delivery makes two looks at it differ."""

    state: DeliveryState = DeliveryState.QUEUED
    reason: str | None = None
    turn_status: TurnStatus | None = None
    claim: ClaimState | None = None
    answer: RequestAnswer | None = None


class Step(Struct):
    """One thing to tell of a delivery."""

    fact: Fact
    delivery: Delivery
    claim: ClaimState | None = None


QUEUED = Standing()


class Tail:
    """Follows what concerns some agents, or all; `agents` is None for all."""

    def __init__(self, hub: HubClient, agents: tuple[AgentId, ...] | None) -> None:
        self._hub = hub
        self._agents = agents
        self._began = 0
        self._highest = 0
        self._told: dict[MessageId, dict[int, Standing]] = {}

    async def events(self) -> AsyncGenerator[Event]:
        """Yield events for ever; HubUnreachable or HubRefused where the first connect fails."""
        again, pause = False, FIRST_PAUSE_S
        while True:
            lost = False
            try:
                async with aclosing(self._listen(again=again)) as events:
                    async for event in events:
                        yield event
                        again = lost = True
                        pause = FIRST_PAUSE_S
            except HubUnreachable:
                if not again:
                    raise  # never connected: the caller says how to start a hub
            except HubRefused as refused:
                if not again or refused.status not in LATER:
                    raise
            if lost:
                yield Event(event=EventKind.DISCONNECTED, at_ms=_now_ms())
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _listen(self, *, again: bool) -> AsyncGenerator[Event]:
        """Yield the events of one connection."""
        stream = await self._hub.open_stream()
        try:
            await stream.watch(self._agents)
            async with aclosing(stream.frames()) as frames:
                async for frame in frames:
                    async with aclosing(self._taken(frame, again=again)) as events:
                        async for event in events:
                            yield event
        finally:
            await stream.close()

    async def _taken(self, frame: StreamFrame, *, again: bool) -> AsyncGenerator[Event]:
        """Yield what a frame tells, one message after the other: what was found out before the hub
        went away is told."""
        numbers: Iterable[int] = ()
        match frame:
            case WatchingFrame(up_to=up_to):
                if not again:
                    self._began = self._highest = up_to
                new = self._new(up_to)
                missed = new.start - self._highest - 1
                yield Event(event=EventKind.CONNECTED, at_ms=_now_ms(), missed=missed)
                numbers = (*self._unsettled(), *new)
            case MailFrame(up_to=up_to):
                # One hint may stand for several messages; one of an old message for that alone.
                numbers = self._new(up_to) or (up_to,)
            case ReceiptFrame(message_id=message_id):
                numbers = (message_id,)
            case ErrorFrame(code=code, detail=detail):
                raise HubRefused(403, code, detail, fix="name an agent with --agent")
            case _:
                pass
        for number in numbers:
            for event in await self._look(number):
                yield event

    def _new(self, up_to: int) -> range:
        """The messages that were not looked at yet; of very many, the newest ones."""
        return range(max(self._highest + 1, up_to - MOST_CAUGHT_UP + 1), up_to + 1)

    def _unsettled(self) -> tuple[MessageId, ...]:
        return tuple(number for number, told in self._told.items() if not _is_over(told))

    async def _look(self, number: int) -> list[Event]:
        """Tell what is new of one message."""
        try:
            view = await self._hub.message(number)
        except HubRefused as refused:
            if refused.status not in NOT_OURS:
                raise
            view = None
        self._highest = max(self._highest, number)
        if view is None:
            return []
        told = self._told.setdefault(view.id, {})
        events: list[Event] = []
        for delivery in view.deliveries:
            if not self._concerns(view, delivery):
                continue
            former = told.get(delivery.id, QUEUED)
            if delivery.id not in told and number > self._began:
                events.append(_event(EventKind.MAIL, view, delivery))
            claim = work_of(view, delivery)
            told[delivery.id] = standing_of(delivery, claim)
            events += [
                _event(EventKind.RECEIPT, view, step.delivery, step.fact, step.claim)
                for step in steps_since(former, delivery, claim)
            ]
        while len(self._told) > MOST_FOLLOWED:
            oldest = min(self._told)
            del self._told[oldest]
            self._began = max(self._began, oldest)
        return events

    def _concerns(self, view: MessageView, delivery: Delivery) -> bool:
        agents = self._agents
        return agents is None or view.from_ in agents or delivery.agent_id in agents


def steps_since(
    former: Standing, delivery: Delivery, claim: ClaimState | None = None
) -> tuple[Step, ...]:
    """List what to tell of a delivery that was told as `former` before.

    A turn that ended before anybody looked was delivered first, and is told so.
    """
    now = standing_of(delivery, claim)
    steps: list[Step] = []
    has_moved = (now.state, now.reason) != (former.state, former.reason)
    if has_moved and now.state not in _PASSING:
        steps.append(Step(fact=Fact.DELIVERY, delivery=replace(delivery, turn_status=None)))
    if now.turn_status not in (None, former.turn_status):
        steps.append(Step(fact=Fact.TURN, delivery=delivery))
    if now.claim != former.claim:
        free_again = ClaimState.OPEN
        steps.append(Step(fact=Fact.WORK, delivery=delivery, claim=now.claim or free_again))
    if now.answer not in (None, former.answer):
        steps.append(Step(fact=Fact.ANSWER, delivery=delivery))
    return tuple(steps)


def standing_of(delivery: Delivery, claim: ClaimState | None = None) -> Standing:
    """Take from a delivery what makes two looks at it differ."""
    answer = delivery.answer
    return Standing(
        state=delivery.state,
        reason=delivery.reason,
        turn_status=delivery.turn_status,
        claim=claim,
        answer=answer if answer is not None and answer.state in _ANSWERS else None,
    )


def _is_over(told: dict[int, Standing]) -> bool:
    return all(each.state in _OVER for each in told.values())


def _event(
    kind: EventKind,
    view: MessageView,
    delivery: Delivery,
    fact: Fact | None = None,
    claim: ClaimState | None = None,
) -> Event:
    fields = {name: getattr(view, name) for name in Message.__struct_fields__}
    return Event(
        event=kind,
        at_ms=_now_ms(),
        message=Message(**fields),
        delivery=delivery,
        fact=fact,
        claim=claim,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
