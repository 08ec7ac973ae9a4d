"""What each decision was asked with and what each plugin answered, so that it can be told and made
again later."""

# Rule 1: no text of a message is kept. The hub has it; what a message's reader sees of it besides,
#         and the hub may tell otherwise later, is kept.
# Rule 2: a prompt is kept as its digest: the same plugins make the same prompt again.

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Protocol, cast

import msgspec

from relay_core.answers import as_json
from relay_core.messages import AgentId, Message, MessageId, Prompt, Struct
from relay_core.plans import Decision, DeliveryPlan
from relay_core.sessions import Session

RECORDED_HOOKS = ("on_message", "on_claim", "choose_delivery", "format_prompt")
"""The hooks that decide about messages, in the order in which a message meets them."""

# A field of Message that is not among these is kept, so that a new one is not forgotten here.
_THE_HUBS = frozenset(
    {
        *("id", "from_", "to", "body", "sender", "created_at", "channel", "subject", "reply_to"),
        *("claimable", "urgent", "type", "meta", "pair_id", "conversation_id", "hop", "expires_at"),
    }
)
_KEPT = tuple(each for each in msgspec.structs.fields(Message) if each.name not in _THE_HUBS)
_own_values = cast(
    "Callable[[Message], tuple[object, ...]]", attrgetter(*[each.name for each in _KEPT])
)
_ENCODER = msgspec.json.Encoder()


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """One question that was put to the plugins, with what came of it.

    `plan` is there for `format_prompt`; `approved` tells that a human had said yes.
    """

    hook: str
    session: Session
    messages: Sequence[Message]
    result: object
    trace: Iterable[Decision]
    plan: DeliveryPlan | None = None
    approved: bool = False


class AskedMessage(Struct, omit_defaults=True):
    """A message that a question was about; two messages of one number differ in `created_at`.

    `own` are fields of it that hold for this reader and this time, by their names on the wire.
    """

    id: MessageId
    created_at: int
    own: dict[str, msgspec.Raw] = {}


class RecordedAnswer(Struct, omit_defaults=True):
    """One plugin's answer, as in `Decision`, with the version of its distribution."""

    plugin: str
    answer: msgspec.Raw
    chosen: bool = False
    version: str = ""


class RecordedDecision(Struct, omit_defaults=True):
    """One line of the record.

    `host` is the version of the host that asked. `result` is what came of it as JSON, of a prompt
    its ids and size, and `digest` the SHA-256 of all of it.
    """

    hook: str
    host: str
    session: Session
    messages: tuple[AskedMessage, ...]
    answers: tuple[RecordedAnswer, ...]
    result: msgspec.Raw
    plan: DeliveryPlan | None = None
    approved: bool = False
    digest: str | None = None

    @property
    def at_ms(self) -> int:
        """When it was asked, in milliseconds since the Unix epoch."""
        return self.session.now

    @property
    def agent_id(self) -> AgentId:
        """Whose session it was about."""
        return self.session.id

    def is_about(self, message_id: MessageId, created_at: int | None = None) -> bool:
        """Tell whether it was about a message; None for `created_at` where nobody knows it."""
        return any(
            each.id == message_id and created_at in (None, each.created_at)
            for each in self.messages
        )

    def repeats(self, other: RecordedDecision | None) -> bool:
        """Tell whether nothing but the time is different."""
        if other is None:
            return False
        then = msgspec.structs.replace(other.session, now=self.session.now)
        return msgspec.structs.replace(other, session=then) == self


class DecisionRecord(Protocol):
    """Where a host writes its decisions down."""

    def add(self, inquiry: Inquiry) -> None:
        """Take one; returns at once and never raises."""
        ...

    async def keep(self) -> None:
        """Write down what was taken, for as long as the host lives."""
        ...

    async def flush(self) -> None:
        """Write down what is left."""
        ...


class MemoryRecord:
    """Decisions of one host in a list: for tests, and where nothing is to be written."""

    def __init__(self) -> None:
        self.decisions: list[RecordedDecision] = []

    def add(self, inquiry: Inquiry) -> None:
        """Take one."""
        self.decisions.append(recorded(inquiry, host="", versions={}))

    async def keep(self) -> None:
        """Nothing is left to do."""

    async def flush(self) -> None:
        """Nothing is left to do."""


class NoRecord:
    """Keeps nothing."""

    def add(self, inquiry: Inquiry) -> None:
        """Forget it."""

    async def keep(self) -> None:
        """Nothing is left to do."""

    async def flush(self) -> None:
        """Nothing is left to do."""


def recorded(inquiry: Inquiry, *, host: str, versions: Mapping[str, str]) -> RecordedDecision:
    """Make of a question what is kept of it; `versions` are those of the plugins, by name."""
    result = inquiry.result
    return RecordedDecision(
        hook=inquiry.hook,
        host=host,
        session=inquiry.session,
        messages=tuple(_asked(each) for each in inquiry.messages),
        answers=tuple(
            RecordedAnswer(
                plugin=each.plugin,
                answer=each.answer,
                chosen=each.chosen,
                version=versions.get(each.plugin, ""),
            )
            for each in inquiry.trace
        ),
        result=as_json(result),
        plan=inquiry.plan,
        approved=inquiry.approved,
        digest=digest(result) if isinstance(result, Prompt) else None,
    )


def as_asked(asked: AskedMessage, message: Message) -> Message:
    """Show a message of the hub's as it was when a question was about it."""
    tree = msgspec.json.decode(_ENCODER.encode(message), type=dict[str, msgspec.Raw])
    names = [each.encode_name for each in _KEPT]
    tree = {name: value for name, value in tree.items() if name not in names} | asked.own
    return msgspec.json.decode(_ENCODER.encode(tree), type=Message)


def digest(prompt: Prompt) -> str:
    """Name a prompt by all of its text."""
    return hashlib.sha256(_ENCODER.encode(prompt)).hexdigest()


def last_of_each(decisions: Iterable[RecordedDecision]) -> tuple[RecordedDecision, ...]:
    """Pick the last answer to each hook for each agent, agent by agent, in the order of the hooks.

    The decisions come oldest first.
    """
    found = {(each.agent_id, each.hook): each for each in decisions}
    order = {hook: place for place, hook in enumerate(RECORDED_HOOKS)}
    return tuple(
        sorted(found.values(), key=lambda each: (each.agent_id, order.get(each.hook, len(order))))
    )


def _asked(message: Message) -> AskedMessage:
    values = _own_values(message)
    if not any(values):
        return AskedMessage(id=message.id, created_at=message.created_at)
    own = {
        field.encode_name: msgspec.Raw(_ENCODER.encode(value))
        for field, value in zip(_KEPT, values, strict=True)
        if value
    }
    return AskedMessage(id=message.id, created_at=message.created_at, own=own)
