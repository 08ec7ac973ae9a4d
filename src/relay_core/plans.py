"""What the decision hooks answer."""

from __future__ import annotations

import enum

import msgspec

from relay_core.messages import AgentId, MessageId, Struct


class Ruling(enum.StrEnum):
    """What becomes of a delivery that has arrived; later members are stricter and win."""

    DELIVER = "deliver"
    HOLD = "hold"
    SKIP = "skip"


class Verdict(Struct):
    """The answer of `on_message`.

    `until_ms` ends a hold by itself (milliseconds since the Unix epoch; None: until it is
    released). `reason` is one word that the sender can see.
    """

    ruling: Ruling
    reason: str | None = None
    until_ms: int | None = None

    @classmethod
    def deliver(cls) -> Verdict:
        """Let it through, as far as this plugin is concerned."""
        return cls(ruling=Ruling.DELIVER)

    @classmethod
    def hold(cls, reason: str, until_ms: int | None = None) -> Verdict:
        """Keep it at the hub until a time, or until somebody releases it."""
        return cls(ruling=Ruling.HOLD, reason=reason, until_ms=until_ms)

    @classmethod
    def skip(cls, reason: str) -> Verdict:
        """Never show it to this session; the sender sees why."""
        return cls(ruling=Ruling.SKIP, reason=reason)


class Mode(enum.StrEnum):
    """How messages enter a session."""

    START = "start"
    STEER = "steer"
    INTERRUPT = "interrupt"
    WAIT = "wait"


class DeliveryPlan(Struct):
    """The answer of `choose_delivery`.

    `take` is how many of the oldest waiting messages go together (None: all that were shown), so
    that no plan can break their order. `until_ms` ends a wait by itself; without it the plan is
    made again whenever the session moves. `reason` is for `show --why`.
    """

    mode: Mode
    take: int | None = None
    until_ms: int | None = None
    reason: str | None = None
    digest: bool = False

    @classmethod
    def start(cls, *, take: int | None = None, reason: str | None = None) -> DeliveryPlan:
        """Begin a turn of its own; for a session at rest."""
        return cls(mode=Mode.START, take=take, reason=reason)

    @classmethod
    def steer(cls, *, take: int | None = None, reason: str | None = None) -> DeliveryPlan:
        """Join the turn that is running."""
        return cls(mode=Mode.STEER, take=take, reason=reason)

    @classmethod
    def interrupt(cls, *, take: int | None = None, reason: str | None = None) -> DeliveryPlan:
        """Stop the running turn, then begin one."""
        return cls(mode=Mode.INTERRUPT, take=take, reason=reason)

    @classmethod
    def wait(cls, reason: str, until_ms: int | None = None) -> DeliveryPlan:
        """Ask again later: at `until_ms`, or when the session moves."""
        return cls(mode=Mode.WAIT, until_ms=until_ms, reason=reason)


class Decision(Struct):
    """What one plugin answered to one hook, for `show --why`.

    `answer` is JSON: the answer itself, or an object with `error` where the plugin raised, hung or
    answered with the wrong type. A prompt is kept as the ids and the size of what it shows, so that
    no trace holds a body. `chosen` tells whether it became the result, or a part of it.
    """

    hook: str
    plugin: str
    answer: msgspec.Raw
    chosen: bool


class HookCall(Struct):
    """One plugin's call in one hook, for whoever watches; silent plugins are called as well.

    `took_us` is the time inside the plugin, of a wrapper both before and after its yield, and of
    `start` until it is open. `answer` is JSON as in `Decision`, `null` where the plugin gave none.
    `error` says what the plugin did wrong; one that lets another's error pass has none. `at_ms` is
    `session.now`, an event's own time, or 0 where there is neither.
    """

    hook: str
    plugin: str
    took_us: float
    answer: msgspec.Raw
    error: str | None = None
    agent_id: AgentId | None = None
    message_ids: tuple[MessageId, ...] = ()
    at_ms: int = 0
