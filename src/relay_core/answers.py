"""Who answered what, in one call of a hook, and whose fault it is when that fails."""

# Rule 1: an answer is checked where it is given, so that a wrong one is the fault of its plugin.
# Rule 2: a round belongs to one thread; a plugin that wakes up late writes into a round that nobody
#         looks at any more.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Generic, TypeGuard, TypeVar, cast

import msgspec
import pluggy

from relay_core.discovery import BUILT_IN_PREFIX
from relay_core.errors import RelayError
from relay_core.messages import AgentId, MessageId, Prompt, Struct
from relay_core.plans import Decision
from relay_core.sessions import RegistrationPatch

SIGNALS = (StopIteration, SystemExit, asyncio.CancelledError)
"""What a plain function must not raise through an event loop."""

CORE = "relay.core"
"""Whose fault it is when it is no plugin's."""

T = TypeVar("T")
_NO_ANSWER = msgspec.Raw(b"null")
_ENCODER = msgspec.json.Encoder()

current_round: ContextVar[Round] = ContextVar("relay_round")

Arguments = tuple[object, ...]
"""What a hook is called with, in the order of its specification."""

Chain = tuple[tuple[str, Callable[..., object]], ...]
"""Plugins in the order of asking, each with a function that takes a hook's arguments."""

Answered = tuple[str, object]
"""A plugin and what it answered; None where it was silent."""


class Failure(Struct):
    """What a plugin did wrong in one hook; `set_aside` when it is not asked any more.

    `agent_id` is None where no session has to do with it.
    """

    plugin: str
    hook: str
    detail: str
    set_aside: bool = False
    agent_id: AgentId | None = None

    @classmethod
    def of(cls, plugin: str, hook: str, error: BaseException) -> Failure:
        """Describe an error that a plugin raised, on one line."""
        own = isinstance(error, RelayError | WrongAnswer)
        detail = str(error) if own else f"{type(error).__name__}: {error}"
        detail = detail.removeprefix(f"plugin {plugin}: ")
        return cls(plugin=plugin, hook=hook, detail=" ".join(detail.split()))

    @classmethod
    def hung(cls, plugin: str, hook: str, limit_s: float) -> Failure:
        """Describe a call that was abandoned."""
        detail = f"took longer than {limit_s:g} s and is not asked any more"
        return cls(plugin=plugin, hook=hook, detail=detail, set_aside=True)


class WrongAnswer(Exception):
    """A plugin answered with something that the hook cannot take."""


class Question(Generic[T]):
    """What one hook may answer: the type, and what must hold beyond it.

    `check` gets the answer and the hook's arguments, and raises ValueError or a RelayError. `many`
    tells a hook that collects every answer from one that stops at the first.
    """

    def __init__(
        self,
        hook: str,
        kind: type[T],
        check: Callable[[T, Arguments], None] | None = None,
        *,
        many: bool = False,
    ) -> None:
        self.hook = hook
        self.kind = kind
        self.check = check
        self.many = many
        self._decoder = msgspec.json.Decoder(kind)

    def checked(self, plugin: str, answer: object, arguments: Arguments) -> T:
        """Give the answer as the type that it must have; WrongAnswer otherwise."""
        if plugin.startswith(BUILT_IN_PREFIX) and isinstance(answer, self.kind):
            return answer
        try:
            value = self._typed(answer)
            if self.check is not None:
                self.check(value, arguments)
        except (ValueError, RelayError, msgspec.MsgspecError) as error:
            raise WrongAnswer(f"wrong answer: {error}") from error
        return value

    def _typed(self, answer: object) -> T:
        if not isinstance(answer, self.kind):
            wanted, given = self.kind.__name__, type(answer).__name__
            raise ValueError(f"it must be {wanted} or None, not {given}")  # noqa: TRY004
        # Annotations bind nobody at run time: a round trip finds wrong fields and broken text.
        return self._decoder.decode(_ENCODER.encode(answer))


class Called(Struct):
    """One plugin's part in a round that is watched: its seconds, its answer or its fault."""

    plugin: str
    took_s: float
    answer: object = None
    fault: str | None = None


class Round:
    """One call of a hook: who is being asked now, who answered what, and who raised.

    With a `timer` (seconds) it also keeps what each plugin did, in `calls`.
    """

    running: str | None = None
    culprit: str | None = None
    error: BaseException | None = None
    arguments: Arguments = ()

    def __init__(self, question: Question[Any], timer: Callable[[], float] | None = None) -> None:
        self.question = question
        self.answers: list[Answered] = []
        self.calls: list[Called] = []
        self._timer = timer
        self._began_s: float | None = None
        self._spent_s: dict[str, float] = {}

    def run(self, caller: pluggy.HookCaller, arguments: Arguments) -> list[object]:
        """Call the hook and give what came of it, at most one value if the first answer counts.

        What an implementation raises is raised, and `culprit` names it.
        """
        self.arguments = arguments
        names = caller.spec.argnames if caller.spec else ()
        token = current_round.set(self)
        try:
            result = cast("object", caller(**dict(zip(names, arguments, strict=True))))
        finally:
            current_round.reset(token)
        if self.question.many:
            return cast("list[object]", result)
        return [] if result is None else [result]

    def run_plain(self, chain: Chain, arguments: Arguments) -> list[object]:
        """Do the same without pluggy's machinery, where nobody wraps."""
        self.arguments = arguments
        given: list[object] = []
        for plugin, function in chain:
            answer = self.ask(plugin, function, arguments)
            if answer is not None:
                given.append(answer)
                if not self.question.many:
                    break
        return given

    def failure(self, error: Exception, agent_id: AgentId | None) -> Failure:
        """Name the plugin that raised this error."""
        culprit = self.culprit if error is self.error else None
        failure = Failure.of(culprit or self.running or CORE, self.question.hook, error)
        return msgspec.structs.replace(failure, agent_id=agent_id)

    def hung(self, limit_s: float, agent_id: AgentId | None) -> Failure:
        """Name the plugin that is being asked and does not answer."""
        failure = Failure.hung(self.running or CORE, self.question.hook, limit_s)
        if self._timer is not None:
            called = Called(plugin=failure.plugin, took_s=limit_s, fault=failure.detail)
            self.calls.append(called)
        return msgspec.structs.replace(failure, agent_id=agent_id)

    # --- for the recorders -------------------------------------------------------------------

    def ask(self, plugin: str, function: Callable[..., object], arguments: Arguments) -> object:
        """Call a plain implementation."""
        self.enter(plugin)
        try:
            answer = function(*arguments)
            self._stop_timing(plugin)
            if answer is not None:
                answer = self.question.checked(plugin, answer, self.arguments)
        except SIGNALS as error:
            raise self.blame(plugin, RuntimeError(f"it raised {type(error).__name__}")) from error
        except Exception as error:
            self.blame(plugin, error)
            raise
        self.answers.append((plugin, answer))
        self.leave(plugin)
        self._saw(plugin, answer)
        return answer

    def enter(self, plugin: str) -> None:
        """Note that a plugin has the word."""
        self.running = plugin
        if self._timer is not None:
            self._began_s = self._timer()

    def leave(self, plugin: str) -> None:
        """Note that it has not any more; a wrapper has it twice."""
        self._stop_timing(plugin)
        self.running = None

    def _stop_timing(self, plugin: str) -> None:
        if self._timer is not None and self._began_s is not None:
            spent_s = self._timer() - self._began_s
            self._spent_s[plugin] = self._spent_s.get(plugin, 0.0) + spent_s
            self._began_s = None

    def wrap(self, plugin: str, received: object, answer: object) -> object:
        """Take what a wrapper gave for what it was given."""
        try:
            given = self._wrapped(plugin, received, answer)
        except WrongAnswer as error:
            self.blame(plugin, error)
            raise
        self._saw(plugin, given)
        return given

    def _wrapped(self, plugin: str, received: object, answer: object) -> object:
        if not self.question.many:
            return self._replaced(plugin, received, answer)
        if not _is_list(answer):
            raise WrongAnswer("wrong answer: a wrapper of this hook must give a list")
        return [self._replaced(plugin, None, each) for each in answer]

    def _replaced(self, plugin: str, received: object, answer: object) -> object:
        if answer is None or answer is received or any(answer is one for _, one in self.answers):
            return answer
        value = self.question.checked(plugin, answer, self.arguments)
        self.answers.append((plugin, value))
        return value

    def blame(self, plugin: str, error: Exception) -> Exception:
        """Remember who raised; an error that only passes through keeps its first culprit."""
        self.leave(plugin)
        own = error is not self.error
        if own:
            self.culprit, self.error = plugin, error
        self._saw(plugin, error=error if own else None)
        return error

    def _saw(self, plugin: str, answer: object = None, error: Exception | None = None) -> None:
        if self._timer is not None:
            spent_s = self._spent_s.pop(plugin, 0.0)
            fault = Failure.of(plugin, self.question.hook, error).detail if error else None
            self.calls.append(Called(plugin=plugin, took_s=spent_s, answer=answer, fault=fault))


class Trace(msgspec.Struct, frozen=True):
    """Who answered what to one question; the decisions are written down when somebody looks.

    The last answer that is the object `chosen` is marked; `failures` are told first. A trace is
    kept longer than a prompt should be: see `prompt_trace`.
    """

    hook: str
    answers: Sequence[Answered]
    chosen: object
    failures: Sequence[Decision] = ()

    def __len__(self) -> int:
        return len(self.failures) + len(self.answers)

    def __getitem__(self, index: int) -> Decision:
        return tuple(self)[index]

    def __iter__(self) -> Iterator[Decision]:
        yield from self.failures
        taken = -1
        for at, (_, answer) in enumerate(self.answers):
            if answer is not None and answer is self.chosen:
                taken = at
        for at, (plugin, answer) in enumerate(self.answers):
            yield Decision(
                hook=self.hook, plugin=plugin, answer=as_json(answer), chosen=at == taken
            )


def prompt_trace(
    answers: Sequence[Answered], chosen: Prompt, failures: Sequence[Decision] = ()
) -> Trace:
    """The trace of `format_prompt`, which keeps ids and sizes and no body alive."""
    kept: list[Answered] = []
    taken: _Sizes | None = None
    for plugin, answer in answers:
        sizes = _sizes(answer) if isinstance(answer, Prompt) else None
        kept.append((plugin, sizes))
        if answer is chosen:
            taken = sizes
    return Trace("format_prompt", kept, taken, failures)


class _Sizes(msgspec.Struct, frozen=True):
    """What is kept of a prompt: each part's message and how long its body is."""

    parts: list[tuple[MessageId, int]]


def _sizes(prompt: Prompt) -> _Sizes:
    return _Sizes([(part.message_id, len(part.body)) for part in prompt.parts])


class _PromptSize(Struct):
    messages: list[MessageId]
    characters: int


def as_json(answer: object) -> msgspec.Raw:
    """Give an answer as JSON for a trace, a prompt as its ids and size."""
    if answer is None:
        return _NO_ANSWER
    if isinstance(answer, Prompt):
        answer = _sizes(answer)
    if isinstance(answer, _Sizes):
        answer = _PromptSize(
            messages=[message_id for message_id, _ in answer.parts],
            characters=sum(characters for _, characters in answer.parts),
        )
    return msgspec.Raw(_ENCODER.encode(answer))


def _is_list(answer: object) -> TypeGuard[list[object]]:
    return isinstance(answer, list)


def attributed(answers: Sequence[Answered], values: Sequence[T]) -> list[tuple[str, T]]:
    """Say of each value in a result which plugin gave it."""
    return [
        (next((name for name, given in answers if given is value), CORE), value) for value in values
    ]


def merged_patches(
    answers: Sequence[tuple[str, RegistrationPatch]],
) -> tuple[RegistrationPatch, tuple[Decision, ...]]:
    """Merge patches, the one asked first in front; the trace has one line for each field set."""
    fields: dict[str, object] = {}
    meta: dict[str, msgspec.Raw] = {}
    trace: list[Decision] = []
    for plugin, patch in answers:
        for field in patch.__struct_fields__:
            value = cast("object", getattr(patch, field))
            if value is None:
                continue
            if field == "meta":
                taken = {k: v for k, v in (patch.meta or {}).items() if k not in meta}
                meta |= taken
                chosen = bool(taken)
            else:
                chosen = fields.setdefault(field, value) is value
            trace.append(
                Decision(
                    hook="on_register",
                    plugin=plugin,
                    answer=msgspec.Raw(msgspec.json.encode({field: value})),
                    chosen=chosen,
                )
            )
    merged = RegistrationPatch(meta=meta or None)
    return msgspec.structs.replace(merged, **fields), tuple(trace)
