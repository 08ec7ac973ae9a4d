"""What the plugins were asked in a test, and what each of them answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import pluggy

from relay_core.answers import Failure, Trace
from relay_core.discovery import PluginReport
from relay_core.events import RelayEvent
from relay_core.hooks import Hooks
from relay_core.messages import AgentId, Message, MessageId, Prompt, Struct
from relay_core.plans import Decision, DeliveryPlan, Verdict
from relay_core.sessions import Environment, Registration, RegistrationPatch, Session
from relay_core.workers import Runner

T = TypeVar("T")
R = TypeVar("R", bound=Iterable[Decision])


class Decided(Struct):
    """One plugin's answer to one question.

    `answer` is JSON as in `agent-relay show --why`. `agent_id` and `message_ids` say what it was
    about; `at_ms` is the session's `now`, 0 where there was none.
    """

    hook: str
    plugin: str
    answer: msgspec.Raw
    chosen: bool
    agent_id: AgentId | None = None
    message_ids: tuple[MessageId, ...] = ()
    at_ms: int = 0

    def value(self) -> object:
        """The answer as plain Python values."""
        return msgspec.json.decode(self.answer)


class Decisions:
    """Every answer so far, in the order in which it was given."""

    def __init__(self) -> None:
        self._all: list[Decided] = []

    def add(self, decided: Decided) -> None:
        """Note one more."""
        self._all.append(decided)

    def of(
        self, hook: str | None = None, *, message: int | None = None, plugin: str | None = None
    ) -> tuple[Decided, ...]:
        """Those to one hook, about one message, by one plugin; all of them where nothing is
        named."""
        return tuple(
            each
            for each in self._all
            if (hook is None or each.hook == hook)
            and (message is None or message in each.message_ids)
            and (plugin is None or each.plugin == plugin)
        )

    def chosen(self, hook: str, *, message: int | None = None) -> Decided:
        """The last answer that became the result; AssertionError where there is none."""
        found = [each for each in self.of(hook, message=message) if each.chosen]
        if not found:
            about = "" if message is None else f" about message {message}"
            raise AssertionError(f"no answer to {hook}{about} was chosen; there were:\n{self}")
        return found[-1]

    def __iter__(self) -> Iterator[Decided]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __str__(self) -> str:
        lines = [
            f"{'*' if each.chosen else ' '} {each.hook} {each.plugin}: {str(each.answer, 'utf-8')}"
            for each in self._all
        ]
        return "\n".join(lines) or "  no decisions"


class RecordingHooks(Hooks):
    """Hooks that tell of each question what was answered, of each event that it happened, and of
    each fault what was raised."""

    def __init__(
        self,
        manager: pluggy.PluginManager,
        *,
        decisions: Decisions,
        events: list[RelayEvent],
        reports: Sequence[PluginReport],
        strict: bool,
        runner: Runner | None,
        failed: Callable[[Failure], None],
    ) -> None:
        super().__init__(manager, reports=reports, strict=strict, runner=runner, failed=failed)
        self._record = decisions
        self._events = events
        self.raised: list[Exception] = []

    async def on_register(
        self, registration: Registration, environment: Environment
    ) -> tuple[RegistrationPatch, Trace]:
        return await self._kept(super().on_register(registration, environment), None, ())

    async def on_message(self, message: Message, session: Session) -> tuple[Verdict, Trace]:
        return await self._kept(super().on_message(message, session), session, (message,))

    async def on_claim(self, message: Message, session: Session) -> tuple[bool, Trace]:
        return await self._kept(super().on_claim(message, session), session, (message,))

    async def choose_delivery(
        self, messages: Sequence[Message], session: Session
    ) -> tuple[DeliveryPlan, Trace]:
        return await self._kept(super().choose_delivery(messages, session), session, messages)

    async def format_prompt(
        self, messages: Sequence[Message], session: Session, plan: DeliveryPlan
    ) -> tuple[Prompt, Trace]:
        return await self._kept(super().format_prompt(messages, session, plan), session, messages)

    async def format_context(self, session: Session) -> tuple[str, Trace]:
        return await self._kept(super().format_context(session), session, ())

    async def on_event(self, event: RelayEvent, session: Session | None) -> None:
        self._events.append(event)
        try:
            await super().on_event(event, session)
        except Exception as error:
            self.raised.append(error)
            raise

    async def _kept(
        self,
        asking: Awaitable[tuple[T, R]],
        session: Session | None,
        messages: Sequence[Message],
    ) -> tuple[T, R]:
        try:
            result, trace = await asking
        except Exception as error:
            self.raised.append(error)
            raise
        for each in trace:
            self._record.add(
                Decided(
                    hook=each.hook,
                    plugin=each.plugin,
                    answer=each.answer,
                    chosen=each.chosen,
                    agent_id=session.id if session else None,
                    message_ids=tuple(message.id for message in messages),
                    at_ms=session.now if session else 0,
                )
            )
        return result, trace
