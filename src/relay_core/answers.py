"""Who answered what, in one call of a hook, and whose fault it is when that fails."""

# Rule 1: an answer is checked where it is given, so that a wrong one is the fault of its plugin.
# Rule 2: a round belongs to one thread; a plugin that wakes up late writes into a round that nobody
#         looks at any more.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, TypeGuard, TypeVar, cast

import msgspec

from relay_core.chains import Chain, Link
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

Arguments = tuple[object, ...]
"""What a hook is called with, in the order of its specification."""

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
    tells a hook that collects every answer from one that stops at the first. `as_sound` may say of
    an answer, without looking at all of it, that it is as good as the sound one it was made of.
    """

    def __init__(
        self,
        hook: str,
        kind: type[T],
        check: Callable[[T, Arguments], None] | None = None,
        *,
        many: bool = False,
        as_sound: Callable[[T, T], bool] | None = None,
    ) -> None:
        self.hook = hook
        self.kind = kind
        self.check = check
        self.many = many
        self.as_sound = as_sound
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

    def changed(self, plugin: str, received: object, answer: object, arguments: Arguments) -> T:
        """Give what a wrapper made of a checked answer as the type that it must have."""
        kind, as_sound = self.kind, self.as_sound
        if (
            as_sound is not None
            and type(answer) is kind
            and isinstance(received, kind)
            and as_sound(answer, received)
        ):
            return answer
        return self.checked(plugin, answer, arguments)

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
    _began_s: float | None = None

    def __init__(self, question: Question[Any], timer: Callable[[], float] | None = None) -> None:
        self.question = question
        self.answers: list[Answered] = []
        self._timer = timer
        if timer is not None:
            self.calls: list[Called] = []
            self._spent_s: dict[str, float] = {}

    def run(self, chain: Chain, arguments: Arguments) -> Sequence[object]:
        """Ask the plugins and give what came of it, at most one value if the first answer counts.

        What a plugin raises is raised, and `culprit` names it.
        """
        self.arguments = arguments
        result = self._around(chain.wrappers, chain.plain)
        if self.question.many:
            return cast("list[object]", result)
        return () if result is None else (result,)

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

    def seen(self) -> tuple[Called, ...]:
        """Tell what each plugin did; nothing where the round began before somebody watched."""
        return () if self._timer is None else tuple(self.calls)

    # --- asking ------------------------------------------------------------------------------

    def _around(self, wrappers: Sequence[Link], plain: Sequence[Link]) -> object:
        """Give a list where all answers count, else the first answer or None."""
        if not wrappers:
            answers = self._inside(plain)
            return answers if self.question.many else answers[0] if answers else None
        (plugin, function), *inner = wrappers
        wrapper = cast("Generator[None, object, object]", function(*self.arguments))
        self._step(plugin, wrapper.send, None, first=True)
        received: object = None
        try:
            received = self._around(inner, plain)
        except Exception as error:  # noqa: BLE001 - an inner one's; the wrapper may mend it
            answer = self._step(plugin, wrapper.throw, error)
        else:
            answer = self._step(plugin, wrapper.send, received)
        finally:
            wrapper.close()
        if answer is not received or self.question.many:  # a list may have changed
            answer = self._taken(plugin, received, answer)
        if self._timer is not None:
            self._saw(plugin, answer)
        return answer

    def _inside(self, plain: Sequence[Link]) -> list[object]:
        question, arguments, answers = self.question, self.arguments, self.answers
        given: list[object] = []
        timed = self._timer is not None
        try:
            for plugin, function in plain:
                self.running = plugin
                if timed:
                    self._enter()
                answer = function(*arguments)
                if timed:
                    self._stop_timing(plugin)
                if answer is not None:
                    answer = question.checked(plugin, answer, arguments)
                    given.append(answer)
                answers.append((plugin, answer))
                if timed:
                    self._saw(plugin, answer)
                if given and not question.many:
                    break
        except SIGNALS as error:
            raise self._blame(RuntimeError(f"it raised {type(error).__name__}")) from error
        except Exception as error:
            self._blame(error)
            raise
        self.running = None
        return given

    def _step(
        self, plugin: str, advance: Callable[[Any], None], given: object, *, first: bool = False
    ) -> object:
        """Let a wrapper run up to its yield, or from there to its end."""
        self.running = plugin
        if self._timer is not None:
            self._enter()
        try:
            advance(given)
        except StopIteration as end:
            if first:
                raise self._blame(RuntimeError("a wrapper must yield once")) from end
            self._stop_timing(plugin)
            answer: object = end.value
            return answer
        except (SystemExit, asyncio.CancelledError) as error:
            raise self._blame(RuntimeError(f"it raised {type(error).__name__}")) from error
        except Exception as error:
            self._blame(error)
            raise
        if not first:
            raise self._blame(RuntimeError("a wrapper must yield once"))
        self._stop_timing(plugin)
        return None

    def _taken(self, plugin: str, received: object, answer: object) -> object:
        """Take what a wrapper gave for what it was given."""
        try:
            if not self.question.many:
                given = self._replaced(plugin, received, answer)
            elif _is_list(answer):
                given = [self._replaced(plugin, None, each) for each in answer]
            else:
                raise WrongAnswer("wrong answer: a wrapper of this hook must give a list")
        except WrongAnswer as error:
            self._blame(error)
            raise
        return given

    def _replaced(self, plugin: str, received: object, answer: object) -> object:
        if answer is None:
            return answer
        for _, one in self.answers:
            if answer is one:
                return answer
        value = self.question.changed(plugin, received, answer, self.arguments)
        self.answers.append((plugin, value))
        return value

    # --- who has the word, and for how long --------------------------------------------------

    def _enter(self) -> None:
        if self._timer is not None:
            self._began_s = self._timer()

    def _stop_timing(self, plugin: str) -> None:
        if self._timer is not None and self._began_s is not None:
            spent_s = self._timer() - self._began_s
            self._spent_s[plugin] = self._spent_s.get(plugin, 0.0) + spent_s
            self._began_s = None

    def _blame(self, error: Exception) -> Exception:
        """Remember who raised; an error that only passes through keeps its first culprit."""
        plugin = self.running or CORE
        self._stop_timing(plugin)
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


class Answers(msgspec.Struct, frozen=True):
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


Trace = Answers | Sequence[Decision]
"""What the plugins answered to one question, and who failed."""


def prompt_trace(
    answers: Sequence[Answered], chosen: Prompt, failures: Sequence[Decision]
) -> Answers:
    """The trace of `format_prompt`, which keeps ids and sizes and no body alive."""
    kept: list[Answered] = []
    taken: _Sizes | None = None
    former: Prompt | None = None
    parts: list[tuple[MessageId, int]] = []
    for plugin, answer in answers:
        sizes: _Sizes | None = None
        if isinstance(answer, Prompt):
            # Wrappers hand the same parts on.
            same = former is not None and answer.parts is former.parts
            sizes = _Sizes(parts) if same else _sizes(answer)
            former, parts = answer, sizes.parts
        kept.append((plugin, sizes))
        if answer is chosen:
            taken = sizes
    return Answers("format_prompt", kept, taken, failures)


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
