"""What travels: messages, their deliveries, and the text that an agent is shown."""

from __future__ import annotations

import enum
from typing import NewType, dataclass_transform

import msgspec

MessageId = NewType("MessageId", int)
"""A message's number, given by the hub, growing."""

DeliveryId = NewType("DeliveryId", int)
"""One message on its way to one recipient."""

AttemptId = NewType("AttemptId", str)
"""One try to bring one or several deliveries into a session, chosen by the sidecar."""

AgentId = NewType("AgentId", str)
"""An agent's name at the hub, stable over resumes of its session."""

PairId = NewType("PairId", str)
"""Two agents that talk to each other alone, given by the hub."""

OPERATOR = AgentId("operator")
"""Who a message is from when the person at the keyboard sends it."""

HUB = AgentId("hub")
"""Who a message is from when the hub itself has something to say; nothing is sent there."""

QUIET = "quiet"
"""Why a delivery is held while its session is quiet; the end of the quiet ends such a hold."""

REQUEST = "request"
"""The `type` of a message whose sender waits for an answer."""

REPLY = "reply"
"""The `type` of an answer that the hub made of a turn's final message."""

ACK = "ack"
"""The `type` of a bare confirmation: it answers nothing and starts no turn."""

RESULT = "result"
"""The `type` of what the holder of claimable work has to say of its end."""

NEEDS_YES = "needs_yes"
"""The reason of what is held until a human says yes."""

META_LIMIT_BYTES = 16 * 1024
"""The most that a message's `meta`, or one annotation, may take as JSON."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The shape of everything that travels: immutable, camelCase on the wire."""


class DeliveryState(enum.StrEnum):
    """Where a delivery is; the arrows are in `relay_core.delivery`."""

    QUEUED = "queued"
    LEASED = "leased"
    INJECTING = "injecting"
    UNCERTAIN = "uncertain"
    HELD = "held"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DEAD = "dead"


class TurnStatus(enum.StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class AnswerState(enum.StrEnum):
    """Where the answer to a request stands at one recipient; a late reply still answers it."""

    WAITING = "waiting"
    ANSWERED = "answered"
    ENDED_WITHOUT_REPLY = "ended_without_reply"
    NOT_DELIVERED = "not_delivered"


class ClaimState(enum.StrEnum):
    """Where the work that a claimable message asks for stands."""

    OPEN = "open"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"


class ClaimEvent(enum.StrEnum):
    """What happened to a claim; renewals are none of it."""

    TAKEN = "taken"
    LAPSED = "lapsed"
    RELEASED = "released"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    REOPENED = "reopened"


class PairState(enum.StrEnum):
    """Where a pair stands."""

    PENDING = "pending"
    ACTIVE = "active"
    ENDED = "ended"


OPEN_PAIR = (PairState.PENDING, PairState.ACTIVE)
"""Where a pair stands while it takes the one seat of both agents."""


class PairEvent(enum.StrEnum):
    """The `type` of a pair's messages; a message that bears a `pair_id` has one of them."""

    INVITE = "pair.invite"
    ACCEPTED = "pair.accepted"
    REJECTED = "pair.rejected"
    MESSAGE = "pair.message"
    ENDED = "pair.ended"


class Credential(enum.StrEnum):
    """What kind of token a sender showed to the hub; `hub` for what the hub wrote itself."""

    USER = "user"
    AGENT = "agent"
    HUB = "hub"


class Sender(Struct):
    """The hub's own view of who sent a message; nothing in it comes from the message itself."""

    id: AgentId
    label: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    credential: Credential = Credential.USER


_NO_META = msgspec.Raw(b"{}")


def no_meta() -> msgspec.Raw:
    """The `meta` of what has none: an empty object."""
    return _NO_META


class Message(Struct):
    """A message as the hub stored it.

    `meta` is the sender's own JSON object, never interpreted by the core; `urgent` is what the
    sender asked for, not what the recipient allows. Times are milliseconds since the Unix epoch by
    the hub's clock. `edited_by` says who changed `body` on its way to this reader; the sender reads
    what it wrote. `annotations` are what plugins attached to this delivery of it, by key: decision
    hooks see them, nobody else does.
    """

    id: MessageId
    from_: AgentId = msgspec.field(name="from")
    to: str
    body: str
    sender: Sender
    created_at: int
    channel: str | None = None
    subject: str | None = None
    reply_to: MessageId | None = None
    claimable: bool = False
    urgent: bool = False
    type: str | None = None
    meta: msgspec.Raw = msgspec.field(default_factory=no_meta)
    pair_id: PairId | None = None
    conversation_id: MessageId | None = None
    hop: int = 0
    expires_at: int | None = None
    claimed_by: AgentId | None = None
    claimed_at: int | None = None
    claim_expires_at: int | None = None
    edited_by: AgentId | None = None
    annotations: dict[str, msgspec.Raw] = {}


def starts_no_turn(message: Message) -> bool:
    """Tell whether a message only goes along with others: it never starts a turn, nor joins one.

    A confirmation, and what the hub tells of where things stand; not its news of a pair, for which
    one of the two waits.
    """
    news = message.sender.credential is Credential.HUB and message.pair_id is None
    return news or message.type == ACK


class RequestAnswer(Struct):
    """What became of a request at one recipient.

    `reply_id` is the message that answers it. `reason` says in one word why there is none.
    """

    state: AnswerState
    reply_id: MessageId | None = None
    reason: str | None = None


class Delivery(Struct):
    """One message on its way to one recipient: the row that the hub keeps and the machine steps.

    `seq` orders the deliveries of one recipient. `attempt_id` is the open attempt, or the last one.
    `not_before_ms` is when a retry may start. `strikes` counts agent crashes right after an
    injection. `reason` says why the state is what it is, in one word. `retried_as` is the delivery
    that took the place of a dead one, or of one whose agent lost the claim on the work.
    `approved_ms` is when a person said yes to it: nothing holds it any more. `edited` says that its
    recipient gets another text than the sender wrote. `answer` is there in the view of a request
    only. `away` tells whether the recipient cannot be reached now; in views, and only while
    something is to be done.
    """

    id: DeliveryId
    message_id: MessageId
    agent_id: AgentId
    seq: int
    state: DeliveryState = DeliveryState.QUEUED
    reason: str | None = None
    attempts: int = 0
    strikes: int = 0
    attempt_id: AttemptId | None = None
    claim_token: int | None = None
    not_before_ms: int = 0
    held_until_ms: int | None = None
    expires_ms: int | None = None
    turn_id: str | None = None
    turn_status: TurnStatus | None = None
    created_ms: int = 0
    updated_ms: int = 0
    delivered_ms: int | None = None
    retried_as: DeliveryId | None = None
    approved_ms: int | None = None
    edited: bool = False
    answer: RequestAnswer | None = None
    away: bool | None = None


class Offer(Struct):
    """What a sidecar gets for one delivery: the row, the message, and the open attempt if there is
    one.

    `annotations` are what plugins attached to this delivery, by key.
    """

    delivery: Delivery
    message: Message
    attempt: Attempt | None = None
    annotations: dict[str, msgspec.Raw] = {}

    def annotated(self) -> Offer:
        """The same with the annotations at the message, where decision hooks look for them."""
        if not self.annotations:
            return self
        message = msgspec.structs.replace(self.message, annotations=self.annotations)
        return msgspec.structs.replace(self, message=message)


class Attempt(Struct):
    """A recorded try: which deliveries go together into which thread, and when it was recorded."""

    id: AttemptId
    agent_id: AgentId
    thread_id: str
    delivery_ids: tuple[DeliveryId, ...]
    started_ms: int
    epoch: int = 0


class Part(Struct):
    """One message as a prompt shows it.

    `header` holds (name, value) lines; the core quotes them and puts the fence round the whole
    part, so a value or a body can hold anything. `body` is normally the message's own.
    """

    message_id: MessageId
    header: tuple[tuple[str, str], ...] = ()
    body: str = ""


class Prompt(Struct):
    """What `format_prompt` answers: words of our own around parts that each show one message."""

    header: str = ""
    parts: tuple[Part, ...] = ()
    footer: str = ""
