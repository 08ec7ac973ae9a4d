"""The typed face of the hooks: the only place that calls plugins."""

# Rule 1: a third party's fault never stops a delivery. What raises, hangs or answers with the wrong
#         type is named, and the hook is asked again without it; what hangs is not asked any more.
# Rule 2: a hook that only built-in plugins answer never leaves the event loop; with a third party
#         among them it is called in one worker thread.
# Rule 3: each answer is traced, with the plugin that gave it.
# Rule 4: in strict mode nothing is isolated.

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import NoReturn, TypeVar, cast

import msgspec
import pluggy

from relay_core.answers import (
    SIGNALS,
    Answered,
    Answers,
    Arguments,
    Failure,
    Question,
    Round,
    Trace,
    as_json,
    attributed,
    merged_patches,
    prompt_trace,
)
from relay_core.chains import Call, Chain, Link, calls_of
from relay_core.discovery import (
    BUILT_IN_PREFIX,
    AskedPlugin,
    PluginReport,
    PluginState,
    asked_in_order,
)
from relay_core.errors import NobodyAnswered, PluginConflict, PluginError, RelayError
from relay_core.events import PluginFailed, RelayEvent, messages_of
from relay_core.fence import check_names
from relay_core.hookspecs import DECISION_HOOKS, HOOK_NAMES
from relay_core.messages import Message, Prompt
from relay_core.plans import Decision, DeliveryPlan, HookCall, Ruling, Verdict
from relay_core.ports import AdapterRegistrar, Relay
from relay_core.sessions import Environment, Registration, RegistrationPatch, Session
from relay_core.workers import CallAbandoned, Runner, WorkerThread

log = logging.getLogger("relay.hooks")

DECISION_LIMIT_S = 1.0
REGISTER_LIMIT_S = 2.0
OBSERVER_LIMIT_S = 5.0
START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0

_DEFAULTS = {
    "choose_delivery": "relay.delivery",
    "format_prompt": "relay.prompt",
    "format_context": "relay.prompt",
}

MUST_ANSWER = tuple(_DEFAULTS)
"""The hooks that somebody must answer; without an answer nothing is delivered."""


def _check_plan(plan: DeliveryPlan, arguments: Arguments) -> None:
    shown = len(cast("Sequence[Message]", arguments[0]))
    if plan.take is not None and not 1 <= plan.take <= shown:
        raise ValueError(f"take={plan.take} of {shown} messages")


def _check_prompt(prompt: Prompt, arguments: Arguments) -> None:
    wanted = [message.id for message in cast("Sequence[Message]", arguments[0])]
    shown = [part.message_id for part in prompt.parts]
    if shown != wanted:
        raise ValueError(f"it shows the messages {shown}, asked for were {wanted}")
    check_names(prompt)


def _only_words_differ(prompt: Prompt, sound: Prompt) -> bool:
    """Tell of a prompt whose parts are the very same, with words that are plain text."""
    if prompt.parts is not sound.parts:
        return False
    header: object = prompt.header  # whatever a third party has put there
    footer: object = prompt.footer
    return type(header) is str and header.isascii() and type(footer) is str and footer.isascii()


def _messages_of(arguments: Arguments) -> Sequence[Message]:
    """What a hook that has to do with messages is asked about; it comes first."""
    match arguments[0]:
        case Message() as message:
            return (message,)
        case Registration() | Session():
            return ()
        case messages:
            return cast("Sequence[Message]", messages)


_STRICTNESS = {ruling: place for place, ruling in enumerate(Ruling)}
_REGISTER = Question("on_register", RegistrationPatch, many=True)
_MESSAGE = Question("on_message", Verdict, many=True)
_CLAIM = Question("on_claim", bool, many=True)
_DELIVER = Verdict.deliver()
_CHOOSE = Question("choose_delivery", DeliveryPlan, _check_plan)
_PROMPT = Question("format_prompt", Prompt, _check_prompt, as_sound=_only_words_differ)
_CONTEXT = Question("format_context", str)


T = TypeVar("T")
_Outcome = tuple[Sequence[T], Sequence[Answered], Sequence[Decision]]
"""What came of a question, who answered what, and who failed."""


class Hooks:
    """Asks the plugins of one host.

    `manager` holds the plugins; one that is registered there later is not asked. `reports` is what
    discovery found, kept up to date here. `runner` runs a blocking call under a limit in seconds; a
    simulation passes `run_inline`. `failed` is told of each failure and must not raise. `timer`
    gives seconds, for those who watch.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        *,
        reports: Iterable[PluginReport] = (),
        strict: bool = False,
        runner: Runner | None = None,
        failed: Callable[[Failure], None] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._calls = {hook: calls_of(manager, hook) for hook in HOOK_NAMES}
        self._in_order = asked_in_order(manager)
        self._reports = {report.name: report for report in reports}
        self._strict = strict
        self._run: Runner = runner or WorkerThread()
        self._failed = failed
        self._timer = timer
        self._listeners: dict[object, Callable[[HookCall], None]] = {}
        self._aside: frozenset[str] = frozenset()
        self._chains: dict[tuple[str, frozenset[str]], Chain] = {}
        self._foreign: frozenset[str] = frozenset()
        self._built_in: dict[str, tuple[Link, ...]] = {}
        self._sort()
        self._telling: set[asyncio.Task[None]] = set()

    def reports(self) -> tuple[PluginReport, ...]:
        """Tell what became of each installed plugin, up to now."""
        return tuple(self._reports.values())

    def asked_in_order(self) -> dict[str, tuple[AskedPlugin, ...]]:
        """Tell for each hook who is asked, in the order of asking, without what was set aside."""
        return {
            hook: tuple(each for each in asked if each.plugin not in self._aside)
            for hook, asked in self._in_order.items()
        }

    @contextlib.contextmanager
    def watch(self, listener: Callable[[HookCall], None]) -> Generator[None]:
        """Let a listener see each plugin's call while the block runs.

        It is called in the event loop's thread once a hook is through, and must not raise.
        """
        key = object()
        self._listeners[key] = listener
        try:
            yield
        finally:
            del self._listeners[key]

    # --- decisions ---------------------------------------------------------------------------

    async def on_register(
        self, registration: Registration, environment: Environment
    ) -> tuple[RegistrationPatch, Trace]:
        """Ask every plugin what it knows of a session; for each field the one asked first wins.

        A session that cannot be described as its user wants does not register: SettingsError is
        passed on as it is, anything else that a plugin raises as PluginError.
        """
        known: Mapping[str, str] = MappingProxyType(dict(environment))
        patches, answers, failures = await self._ask(_REGISTER, (registration, known), None)
        merged, trace = merged_patches(attributed(answers, patches))
        return merged, (*failures, *trace)

    async def on_message(self, message: Message, session: Session) -> tuple[Verdict, Trace]:
        """Ask every plugin about a message; the strictest verdict wins, else it is delivered."""
        asked = message, session
        verdicts, answers, failures = self._plainly(_MESSAGE, asked) or await self._ask(
            _MESSAGE, asked, session
        )
        strictest = max(verdicts, key=_strictness) if verdicts else None
        return strictest or _DELIVER, Answers("on_message", answers, strictest, failures)

    async def on_claim(self, message: Message, session: Session) -> tuple[bool, Trace]:
        """Ask every plugin whether to claim; any False wins, and silence means yes."""
        asked = message, session
        words, answers, failures = self._plainly(_CLAIM, asked) or await self._ask(
            _CLAIM, asked, session
        )
        wanted = False not in words
        return wanted, Answers("on_claim", answers, wanted, failures)

    async def choose_delivery(
        self, messages: Sequence[Message], session: Session
    ) -> tuple[DeliveryPlan, Trace]:
        """Ask how the messages enter the session; PluginError when nobody answers."""
        asked = tuple(messages), session
        given, answers, failures = self._plainly(_CHOOSE, asked) or await self._ask(
            _CHOOSE, asked, session
        )
        plan = given[0] if given else _nobody("choose_delivery")
        return plan, Answers("choose_delivery", answers, plan, failures)

    async def format_prompt(
        self, messages: Sequence[Message], session: Session, plan: DeliveryPlan
    ) -> tuple[Prompt, Trace]:
        """Ask for the text of one attempt; PluginError when nobody answers.

        A prompt that leaves a message out, shows another or breaks their order is a wrong answer.
        """
        asked = tuple(messages), session, plan
        given, answers, failures = self._plainly(_PROMPT, asked) or await self._ask(
            _PROMPT, asked, session
        )
        prompt = given[0] if given else _nobody("format_prompt")
        return prompt, prompt_trace(answers, prompt, failures)

    async def format_context(self, session: Session) -> tuple[str, Trace]:
        """Ask for the text that a session is given when it starts; PluginError when nobody does."""
        given, answers, failures = await self._ask(_CONTEXT, (session,), session)
        text = given[0] if given else _nobody("format_context")
        return text, Answers("format_context", answers, text, failures)

    # --- observers ---------------------------------------------------------------------------

    async def on_event(self, event: RelayEvent, session: Session | None) -> None:
        """Tell every plugin what has happened, each isolated; returns when all have answered."""
        told = [each for each in self._calls["on_event"] if each.plugin not in self._aside]
        if len(told) == 1:
            await self._observe(told[0], event, session)
        elif told:
            await asyncio.gather(*(self._observe(each, event, session) for each in told))

    async def _observe(self, call: Call, event: RelayEvent, session: Session | None) -> None:
        name = call.plugin
        began_s, failure = self._timer(), None
        cause: Exception | None = None
        try:
            await self._tell(call, event, session)
        except CallAbandoned as error:
            failure, cause = Failure.hung(name, "on_event", OBSERVER_LIMIT_S), error
        except Exception as error:  # noqa: BLE001 - an observer may do anything; nothing comes of it
            failure, cause = Failure.of(name, "on_event", error), error
        self._show_act(name, "on_event", began_s, failure, event)
        if failure is not None and cause is not None:
            self._fail(failure, cause)

    async def _tell(self, call: Call, event: RelayEvent, session: Session | None) -> None:
        if call.coroutine:
            async with asyncio.timeout(OBSERVER_LIMIT_S):
                await cast("Awaitable[object]", call.function(event, session))
        elif call.plugin.startswith(BUILT_IN_PREFIX):
            call.function(event, session)
        else:
            await self._run(functools.partial(call.function, event, session), OBSERVER_LIMIT_S)

    # --- contributions -----------------------------------------------------------------------

    def register_adapters(self, registrar: Callable[[str], AdapterRegistrar]) -> None:
        """Let each plugin contribute adapters, with a registrar that knows its name.

        PluginConflict is passed on, and so is a built-in plugin's fault; a third party's is
        reported.
        """
        for call in self._calls["register_adapters"]:
            name = call.plugin
            began_s = self._timer()
            try:
                call.function(registrar(name))
            except Exception as error:
                failure = Failure.of(name, "register_adapters", error)
                self._show_act(name, "register_adapters", began_s, failure)
                if isinstance(error, PluginConflict) or name.startswith(BUILT_IN_PREFIX):
                    raise
                self._fail(failure, error)
            else:
                self._show_act(name, "register_adapters", began_s)

    @contextlib.asynccontextmanager
    async def start(self, relay: Callable[[str], Relay]) -> AsyncGenerator[None]:
        """Keep what each plugin's `start` gives open while the block runs.

        Each in a task of its own: what fails there later ends that plugin's work and nobody else's.
        """
        stop = asyncio.Event()
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            for call in self._calls["start"]:
                name = call.plugin
                if name in self._aside:
                    continue
                ready = asyncio.Event()
                work = self._keep(call, relay(name), ready, stop)
                tasks[name] = asyncio.create_task(work, name=f"plugin {name}")
                await self._until_ready(name, tasks[name], ready)
            yield
        finally:
            stop.set()
            await self._until_stopped(tasks)

    async def _keep(
        self, call: Call, relay: Relay, ready: asyncio.Event, stop: asyncio.Event
    ) -> None:
        name, began_s = call.plugin, self._timer()
        try:
            opened = call.function(relay)
            if opened is None:
                self._show_act(name, "start", began_s)
                return
            if not isinstance(opened, AbstractAsyncContextManager):
                raise TypeError("it must give an async context manager")
            async with cast("AbstractAsyncContextManager[object]", opened):
                self._show_act(name, "start", began_s)
                ready.set()
                await stop.wait()
        except Exception as error:
            failure = Failure.of(name, "start", error)
            if not ready.is_set():
                self._show_act(name, "start", began_s, failure)
                if name.startswith(BUILT_IN_PREFIX):
                    raise
            self._fail(failure, error)

    async def _until_ready(self, name: str, task: asyncio.Task[None], ready: asyncio.Event) -> None:
        began_s = self._timer()
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait(
                {task, waiting}, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if task.done():
            task.result()
        elif not ready.is_set():
            task.cancel()
            error = PluginError(name, f"did not start within {START_LIMIT_S:g} s")
            failure = Failure.of(name, "start", error)
            self._show_act(name, "start", began_s, failure)
            if name.startswith(BUILT_IN_PREFIX):
                raise error
            self._fail(failure, error)

    async def _until_stopped(self, tasks: Mapping[str, asyncio.Task[None]]) -> None:
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks.values(), timeout=STOP_LIMIT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name, task in tasks.items():
            if task in late:
                error = PluginError(name, f"did not stop within {STOP_LIMIT_S:g} s")
                self._fail(Failure.of(name, "start", error), error)

    # --- asking ------------------------------------------------------------------------------

    def _plainly(self, question: Question[T], asked: Arguments) -> _Outcome[T] | None:
        """Ask the built-in plugins, where nobody else has a say and nobody watches.

        None where that does not go through: `_ask` then finds out whose fault it is. Decisions may
        be asked twice, they are the same for the same arguments.
        """
        links = self._built_in.get(question.hook)
        if links is None or self._listeners:
            return None
        given: list[T] = []
        answers: list[Answered] = []
        try:
            for plugin, function in links:
                answer = function(*asked)
                answers.append((plugin, answer))
                if answer is None:
                    continue
                if not isinstance(answer, question.kind):
                    return None
                given.append(answer)
                if not question.many:
                    break
        except (Exception, *SIGNALS):  # noqa: BLE001 - a decision may raise anything
            return None
        return given, answers, ()

    async def _ask(
        self, question: Question[T], asked: Arguments, session: Session | None
    ) -> _Outcome[T]:
        """Call one hook until it goes through, each time without the plugin that failed before."""
        hook, left_out = question.hook, self._aside
        failures: list[Decision] = []
        agent_id = session.id if session else None
        limit_s = REGISTER_LIMIT_S if hook == "on_register" else DECISION_LIMIT_S
        while True:
            now = Round(question, self._timer if self._listeners else None)
            call = functools.partial(self._call, now, left_out, asked)
            cause: Exception
            try:
                result = await self._run(call, limit_s) if hook in self._foreign else call()
            except CallAbandoned as error:
                failure, cause = now.hung(limit_s, agent_id), error
            except Exception as error:  # noqa: BLE001 - a third party's decision may raise anything
                failure, cause = now.failure(error, agent_id), error
            else:
                if self._listeners:
                    self._show_round(now, session)
                return cast("Sequence[T]", result), now.answers, failures
            if self._listeners:
                self._show_round(now, session)
            self._note(failure)
            # A session that its user's plugins cannot describe does not register: fail closed.
            closed = hook == "on_register" and not failure.set_aside
            if self._strict:
                raise cause
            if closed or failure.plugin.startswith(BUILT_IN_PREFIX):
                raise _passed_on(failure, cause) from cause
            failures.append(_failed_decision(failure))
            left_out |= {failure.plugin}
            self._announce(failure, session)

    def _call(self, now: Round, left_out: frozenset[str], asked: Arguments) -> Sequence[object]:
        # What was set aside while this call waited for its turn is not asked either.
        return now.run(self._chain(now.question.hook, left_out | self._aside), asked)

    def _announce(self, failure: Failure, session: Session | None) -> None:
        """Let the observers hear of a fault, without holding up the decision."""
        if session is None or not self._calls["on_event"]:
            return
        event = PluginFailed(
            at_ms=session.now,
            agent_id=session.id,
            plugin=failure.plugin,
            hook=failure.hook,
            detail=failure.detail,
        )
        task = asyncio.create_task(self.on_event(event, session), name="plugin failed")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _fail(self, failure: Failure, error: Exception) -> None:
        self._note(failure)
        if self._strict:
            raise error

    def _note(self, failure: Failure) -> None:
        """Put a failure into the report and the log, and tell whoever wants to know."""
        name = failure.plugin
        report = self._reports.get(name)
        whose = name if report is None else f"{name} of {report.distribution}"
        log.warning("plugin %s: %s: %s", whose, failure.hook, failure.detail)
        # What comes with the relay is never left out: without relay.profiles, say, a session would
        # register as something else than its user wants.
        aside = failure.set_aside and not name.startswith(BUILT_IN_PREFIX)
        if aside:
            self._aside |= {name}
            self._sort()
        if report is not None:
            state = PluginState.SET_ASIDE if aside else report.state
            reason = f"{failure.hook}: {failure.detail}"
            self._reports[name] = msgspec.structs.replace(report, state=state, reason=reason)
        if self._failed is not None:
            self._failed(failure)

    # --- for those who watch -----------------------------------------------------------------

    def _show_round(self, now: Round, session: Session | None) -> None:
        """Show each plugin's part in a round that is over."""
        for each in now.seen():  # one that was abandoned may still write there
            self._show(
                HookCall(
                    hook=now.question.hook,
                    plugin=each.plugin,
                    took_us=each.took_s * 1e6,
                    answer=as_json(each.answer),
                    error=each.fault,
                    agent_id=session.id if session else None,
                    message_ids=tuple(each.id for each in _messages_of(now.arguments)),
                    at_ms=session.now if session else 0,
                )
            )

    def _show_act(
        self,
        plugin: str,
        hook: str,
        began_s: float,
        failure: Failure | None = None,
        event: RelayEvent | None = None,
    ) -> None:
        """Show a call that gives no answer, when it is over."""
        if self._listeners:
            self._show(
                HookCall(
                    hook=hook,
                    plugin=plugin,
                    took_us=(self._timer() - began_s) * 1e6,
                    answer=as_json(None),
                    error=failure.detail if failure else None,
                    agent_id=event.agent_id if event else None,
                    message_ids=messages_of(event) if event else (),
                    at_ms=event.at_ms if event else 0,
                )
            )

    def _show(self, call: HookCall) -> None:
        for listener in tuple(self._listeners.values()):
            listener(call)

    # --- who is asked ------------------------------------------------------------------------

    def _sort(self) -> None:
        """Find out how each decision hook is asked, now that some plugins are set aside.

        In the thread: those that third parties answer, and the one that may read files.
        """
        foreign = {
            hook
            for hook in DECISION_HOOKS
            for each in self._calls[hook]
            if not each.plugin.startswith(BUILT_IN_PREFIX) and each.plugin not in self._aside
        }
        self._foreign = frozenset(foreign | {"on_register"})
        ours = {hook: self._chain(hook, self._aside) for hook in DECISION_HOOKS - self._foreign}
        self._built_in = {hook: each.plain for hook, each in ours.items() if not each.wrappers}

    def _chain(self, hook: str, left_out: frozenset[str]) -> Chain:
        found = self._chains.get((hook, left_out))
        if found is None:
            found = self._chains[hook, left_out] = Chain.of(self._calls[hook], left_out)
        return found


# --- small things ----------------------------------------------------------------------------


def _strictness(verdict: Verdict) -> int:
    return _STRICTNESS[verdict.ruling]


def _nobody(hook: str) -> NoReturn:
    default = _DEFAULTS[hook]
    raise NobodyAnswered(
        default,
        f"no plugin answered {hook}",
        fix=f"take {default} out of plugins.block, or install a plugin that answers",
    )


def _passed_on(failure: Failure, error: Exception) -> Exception:
    if isinstance(error, RelayError):
        return error
    return PluginError(failure.plugin, f"{failure.hook}: {failure.detail}")


def _failed_decision(failure: Failure) -> Decision:
    answer = msgspec.Raw(msgspec.json.encode({"error": failure.detail}))
    return Decision(hook=failure.hook, plugin=failure.plugin, answer=answer, chosen=False)
