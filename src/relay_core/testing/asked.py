"""One plugin, asked one question at a time: for tests of its decisions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TypeVar, cast

from relay_core.answers import Trace
from relay_core.discovery import Candidate, discover
from relay_core.errors import NobodyAnswered
from relay_core.hooks import Hooks
from relay_core.messages import Message, Prompt
from relay_core.plans import DeliveryPlan, Verdict
from relay_core.sessions import Registration, RegistrationPatch, Session
from relay_core.testing.loading import HarnessError, built_in, candidates
from relay_core.workers import run_inline

T = TypeVar("T")
R = TypeVar("R")


class Asked:
    """Asks one plugin as a host would, without a hub, a session or an agent.

    `plugin` is an installed one by its name, or a module or an instance. Every question is put
    twice: HarnessError when the second answer is another one. Answers are checked as a host checks
    them, and what the plugin raises is raised. With `beside_built_in` the plugins that come with
    the relay are asked as well, which a wrapper needs.
    """

    def __init__(
        self, plugin: object, name: str | None = None, *, beside_built_in: bool = False
    ) -> None:
        found = candidates(plugin, name)
        others: list[Candidate] = []
        if beside_built_in:
            names = {each.name for each in found}
            others = [each for each in built_in() if each.name not in names]
        self._hooks = Hooks(
            discover((*others, *found), strict=True).manager, strict=True, runner=run_inline
        )

    def on_register(
        self, registration: Registration, environment: Mapping[str, str] | None = None
    ) -> RegistrationPatch:
        """What it sets; a patch without anything where it is silent."""
        known = environment or {}
        return _twice(lambda: self._hooks.on_register(registration, known))[0]

    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Its verdict, None where it leaves that to others."""
        verdict, trace = _twice(lambda: self._hooks.on_message(message, session))
        return verdict if _spoke(trace) else None

    def on_claim(self, message: Message, session: Session) -> bool | None:
        """Whether it wants the claim, None where it leaves that to others."""
        wanted, trace = _twice(lambda: self._hooks.on_claim(message, session))
        return wanted if _spoke(trace) else None

    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        """Its plan, None where it leaves that to others."""
        return _or_none(lambda: self._hooks.choose_delivery(messages, session))

    def format_prompt(
        self,
        messages: Sequence[Message],
        session: Session,
        plan: DeliveryPlan | None = None,
    ) -> Prompt | None:
        """Its prompt, None where it leaves that to others; without `plan` a turn is started."""
        given = plan or DeliveryPlan.start()
        return _or_none(lambda: self._hooks.format_prompt(messages, session, given))

    def format_context(self, session: Session) -> str | None:
        """Its text, None where it leaves that to others."""
        return _or_none(lambda: self._hooks.format_context(session))


def _spoke(trace: Trace) -> bool:
    return any(bytes(each.answer) != b"null" for each in trace)


def _or_none(ask: Callable[[], Coroutine[object, object, tuple[T, Trace]]]) -> T | None:
    try:
        return _twice(ask)[0]
    except NobodyAnswered:
        return None


def _twice(ask: Callable[[], Coroutine[object, object, tuple[T, R]]]) -> tuple[T, R]:
    first, again = _now(ask()), _now(ask())
    if first[0] != again[0]:
        raise HarnessError(f"the same question, another answer: {first[0]}, then {again[0]}")
    return first


def _now(asking: Coroutine[object, object, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        asking.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    asking.close()
    raise HarnessError("a decision waited for something")
