"""Recorded decisions, asked again: what would other plugins, or other settings, have made of it."""

# Rule 1: nothing but the decision hooks is called, and no event is told: a replay changes nothing.
#         `start` is called on demand only, and what it asks of the relay is refused.
# Rule 2: each question is asked twice. Who answers differently is named: its answers prove nothing.
# Rule 3: a question that was recorded is put as it was then, whatever an earlier hook says now.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from relay_core.answers import CORE, as_json
from relay_core.discovery import Plugins
from relay_core.errors import PluginError, RelayError
from relay_core.events import RelayEvent
from relay_core.fence import fence
from relay_core.hooks import Hooks
from relay_core.hub_api import MessageView, SendRequest, SendResponse
from relay_core.judging import ruled
from relay_core.messages import DeliveryId, Message, MessageId, Prompt, Struct
from relay_core.plans import Decision, DeliveryPlan
from relay_core.recorded import RECORDED_HOOKS, RecordedDecision, as_asked, digest
from relay_core.sessions import Session

FENCE = "0" * 32
"""The fence in the text of a replay: two texts differ in what the plugins wrote alone."""


class ReplayedAnswer(Struct):
    """What came of a question when it was asked again.

    `text` is a prompt inside its fence, `digest` names it. `unsteady` are plugins that answered
    differently the second time. `problem` says why nothing came of it.
    """

    result: msgspec.Raw | None = None
    answers: tuple[Decision, ...] = ()
    digest: str | None = None
    text: str | None = None
    unsteady: tuple[str, ...] = ()
    problem: str | None = None

    def is_as(self, then: RecordedDecision) -> bool:
        """Tell whether the same came of it as then."""
        return (
            self.result is not None
            and msgspec.json.decode(self.result) == msgspec.json.decode(then.result)
            and self.digest == then.digest
        )


class SilentHooks(Hooks):
    """Hooks that tell nobody of what happens, and ask only plugins that decide about messages.

    The others are taken out of the plugins' manager.
    """

    def __init__(self, plugins: Plugins) -> None:
        deciding = {
            each.name for each in plugins.reports if not set(RECORDED_HOOKS).isdisjoint(each.hooks)
        }
        for name, _ in plugins.manager.list_name_plugin():
            if name not in deciding:
                plugins.manager.unregister(name=name)
        super().__init__(plugins.manager, reports=plugins.reports)

    async def on_event(self, event: RelayEvent, session: Session | None) -> None:
        """Tell nobody."""


class Powerless:
    """What a plugin's `start` is given for a replay: its table of config.toml, and no power."""

    def __init__(self, plugin: str, table: msgspec.Raw) -> None:
        self._plugin = plugin
        self._table = table

    @property
    def table(self) -> msgspec.Raw:
        """The plugin's own table."""
        return self._table

    async def send(self, request: SendRequest) -> SendResponse:
        """Refuse it."""
        del request
        raise self._refused()

    async def message(self, message_id: MessageId) -> MessageView:
        """Refuse it."""
        del message_id
        raise self._refused()

    async def release(self, delivery_id: DeliveryId) -> None:
        """Refuse it."""
        del delivery_id
        raise self._refused()

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None:
        """Refuse it."""
        del delivery_id, key, value
        raise self._refused()

    def _refused(self) -> PluginError:
        return PluginError(self._plugin, "this is a replay, in which nothing is changed")


def can_be_asked(decision: RecordedDecision) -> bool:
    """Tell whether plugins were asked at all: the relay itself decides some things."""
    return any(each.plugin != CORE for each in decision.answers) or not decision.answers


async def ask_again(
    decision: RecordedDecision, known: Mapping[MessageId, Message], hooks: SilentHooks
) -> ReplayedAnswer:
    """Put a recorded question to plugins; `known` are the messages as the hub has them now."""
    messages: list[Message] = []
    for asked in decision.messages:
        found = known.get(asked.id)
        if found is None or found.created_at != asked.created_at:
            return ReplayedAnswer(problem=f"the hub has message {asked.id} no more")
        messages.append(as_asked(asked, found))
    try:
        result, answers = await _ask(decision, messages, hooks)
        again, others = await _ask(decision, messages, hooks)
    except RelayError as error:
        return ReplayedAnswer(problem=str(error))
    unsteady = _unsteady(answers, others)
    if not unsteady and result != again:
        unsteady = tuple(each.plugin for each in answers if each.chosen)
    prompt = result if isinstance(result, Prompt) else None
    return ReplayedAnswer(
        result=as_json(result),
        answers=answers,
        digest=digest(prompt) if prompt else None,
        text=fence(prompt, FENCE) if prompt else None,
        unsteady=unsteady,
    )


async def _ask(
    decision: RecordedDecision, messages: Sequence[Message], hooks: SilentHooks
) -> tuple[object, tuple[Decision, ...]]:
    session = decision.session
    result: object
    trace: Iterable[Decision]
    match decision.hook:
        case "on_message":
            verdict, told = await hooks.on_message(messages[0], session)
            result, trace = ruled(verdict, told, session, approved=decision.approved)
        case "on_claim":
            result, trace = await hooks.on_claim(messages[0], session)
        case "choose_delivery":
            result, trace = await hooks.choose_delivery(messages, session)
        case "format_prompt":
            plan = decision.plan or DeliveryPlan.start()
            result, trace = await hooks.format_prompt(messages, session, plan)
        case _:
            raise RelayError(f"this version knows no hook {decision.hook}")
    return result, tuple(trace)


def _unsteady(first: Sequence[Decision], second: Sequence[Decision]) -> tuple[str, ...]:
    """Name who did not answer the same; who is not asked a second time has failed, not changed."""
    then = {each.plugin: bytes(each.answer) for each in first}
    changed = [
        each.plugin
        for each in second
        if each.plugin in then and then[each.plugin] != bytes(each.answer)
    ]
    return tuple(dict.fromkeys(changed))
