"""The bodies of the hub's API, one Struct each: what `hub_client` sends and the hub decodes.

Names on the wire are camelCase. Unknown fields are ignored. Times are milliseconds since the Unix
epoch by the hub's clock.
"""

from __future__ import annotations

import msgspec

from relay_core.messages import (
    AgentId,
    AnswerState,
    AttemptId,
    ClaimState,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
    Offer,
    PairId,
    PairState,
    Struct,
    TurnStatus,
    no_meta,
)

USER_HEADER = "X-Agent-Relay-Token"
"""The header that agents may use instead of `Authorization: Bearer`."""

ACTING_HEADER = "X-Agent-Relay-Agent"
"""The header by which the bearer of the user token asks with the rights of one agent only."""

INBOX_PAGE = 100
"""How much of a list the client asks for at once."""


class Fence(Struct):
    """Who is acting: refused with 409 `stale_epoch` when another instance has registered since.

    A missing epoch where one is required is 428 `epoch_required`.
    """

    agent_id: AgentId
    instance_id: str | None = None
    epoch: int | None = None


class RegisterRequest(Struct):
    """POST /api/agents. `meta` may hold `threadId`, `channels`, `approvalMode`, `cwd`, `model`."""

    id: AgentId
    name: str | None = None
    label: str | None = None
    machine: str | None = None
    rig: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    status: str = "online"
    instance_id: str | None = None
    adapter: str | None = None
    meta: msgspec.Raw = msgspec.field(default_factory=no_meta)


class HeartbeatRequest(Struct):
    """POST /api/agents/{id}/heartbeat. The rest of what a session shows of itself may ride
    along."""

    instance_id: str | None = None
    epoch: int | None = None
    status: str | None = None
    ready: bool | None = None
    waiting: str | None = None
    approval: str | None = None
    unattended: bool | None = None
    last_user_turn_ms: int | None = None


class StatusRequest(Struct):
    """PATCH /api/agents/{id}/status: `online`, `idle`, `busy`, `offline` or a word of the
    client's."""

    status: str
    instance_id: str | None = None
    epoch: int | None = None


class ReadyRequest(Struct):
    """PATCH /api/agents/{id}/ready."""

    ready: bool
    instance_id: str | None = None
    epoch: int | None = None


class AgentPatch(Struct):
    """PATCH /api/agents/{id}: what a person may change.

    `quiet_until` is when the agent's quiet is to end, 0 to end it now; for the user token only.
    """

    label: str | None = None
    tags: tuple[str, ...] | None = None
    quiet_until: int | None = None


class SendRequest(Struct):
    """POST /api/messages. `from` may be left out with the user token: then it is `operator`."""

    to: str
    body: str
    from_: AgentId | None = msgspec.field(name="from", default=None)
    channel: str | None = None
    subject: str | None = None
    reply_to: MessageId | None = None
    claimable: bool = False
    urgent: bool = False
    type: str | None = None
    ttl_ms: int | None = None
    instance_id: str | None = None
    epoch: int | None = None
    meta: msgspec.Raw = msgspec.field(default_factory=no_meta)


class SentDelivery(Struct):
    """One recipient of a send; `away` when no host serves it now."""

    id: DeliveryId
    agent_id: AgentId
    state: DeliveryState
    away: bool


class SendResponse(Struct):
    """201 of POST /api/messages: committed."""

    id: MessageId
    deliveries: tuple[SentDelivery, ...]


class MessageView(Message):
    """GET /api/messages/{id}: the message and where each of its deliveries stands.

    `claim` is where the work of a claimable one stands; `claimedBy` is who has, or had, it.
    """

    deliveries: tuple[Delivery, ...] = ()
    claim: ClaimState | None = None


class OfferList(Struct):
    """GET /api/agents/{id}/deliveries: what is open for one agent, oldest first.

    Without `?state=` also: `claims` are those that the agent holds, whoever took them for it;
    `turns_from_ms` is when what agents sent may start turns again, None where it may;
    `quiet_until_ms` is when its quiet ends, or ended last; `label` and `tags` are its own now.
    """

    offers: tuple[Offer, ...]
    claims: tuple[Claim, ...] = ()
    turns_from_ms: int | None = None
    quiet_until_ms: int | None = None
    label: str | None = None
    tags: tuple[str, ...] | None = None


class AttemptRequest(Struct):
    """POST /api/attempts, before an injection.

    409 `attempt_open` when a delivery has an unresolved attempt, 409 `not_waiting` when one is no
    longer waiting, 409 `stale_claim` when a claim was lost; `deliveryIds` in the error names them,
    and nothing was recorded. 409 `starts_no_turn` when all that it carries only goes along with
    others, 429 `turns_spent` when the agent has had its turns for others; `startsTurn` is false for
    what joins a running one.
    """

    attempt_id: AttemptId
    agent_id: AgentId
    thread_id: str
    delivery_ids: tuple[DeliveryId, ...]
    starts_turn: bool = True
    instance_id: str | None = None
    epoch: int | None = None


class Outcome(Struct):
    """POST /api/attempts/{id}/outcome, one transaction for all its deliveries.

    `outcome` is `delivered`, `absent` or `failed`. `crashed` says that the agent died right after
    the hand-over, `permanent` that it would refuse the same again.
    """

    outcome: str
    turn_id: str | None = None
    reason: str | None = None
    crashed: bool = False
    permanent: bool = False
    agent_id: AgentId | None = None
    instance_id: str | None = None
    epoch: int | None = None


class TurnReport(Struct):
    """POST /api/attempts/{id}/turn: how the turn that carried an attempt ended.

    `started_by` is the attempt that began the turn. `shared` says that it held another message
    than this attempt's, or may have. `final_text` is its last words: given only where somebody
    waits for them, and kept only as an answer. `cut_off` says that nobody goes on with it: the
    agent failed in it, or was gone. Claimable work that it carried is offered again.
    """

    turn_id: str
    status: TurnStatus
    started_by: AttemptId | None = None
    shared: bool = True
    final_text: str | None = None
    cut_off: bool = False
    agent_id: AgentId | None = None
    instance_id: str | None = None
    epoch: int | None = None


class AwaitedAnswer(Struct):
    """GET /api/attempts/{id}/awaited: the request that an attempt carries alone, not yet answered.

    None: nobody waits for what its turn says, so none of it is to be sent.
    """

    message_id: MessageId | None = None


class VerdictRequest(Struct):
    """POST /api/deliveries/{id}/verdict: `state` is `held`, `skipped` or `queued` (released)."""

    state: DeliveryState
    reason: str | None = None
    until: int | None = None
    agent_id: AgentId | None = None
    instance_id: str | None = None
    epoch: int | None = None


class AnnotateRequest(Struct):
    """POST /api/deliveries/{id}/annotations: JSON by name; `null` takes one away."""

    annotations: dict[str, msgspec.Raw]
    agent_id: AgentId | None = None
    instance_id: str | None = None
    epoch: int | None = None


class ClaimRequest(Struct):
    """POST /api/messages/{id}/claim[/renew|complete|fail|release].

    `token` is checked when present. `kept` says that whoever takes the claim renews it: the
    agent's host needs no word of it.
    """

    agent_id: AgentId
    instance_id: str | None = None
    epoch: int | None = None
    token: int | None = None
    result: str | None = None
    kept: bool = False


class Claim(Struct):
    """Where a claim stands; `token` only grows, with each claim, renewal and completion.

    `since_ms` is when the state began. `result_id` is the message that brought the result to the
    sender; `not_sent` is the hub's code for why there is none.
    """

    message_id: MessageId
    state: ClaimState
    token: int
    agent_id: AgentId | None = None
    until_ms: int | None = None
    lapses: int = 0
    result: str | None = None
    since_ms: int = 0
    result_id: MessageId | None = None
    not_sent: str | None = None


class ClaimList(Struct):
    """GET /api/agents/{id}/claims: the claims that an agent holds, by the end of their lease."""

    claims: tuple[Claim, ...]


class MessagePatch(Struct):
    """PATCH /api/messages/{id}: the recipient has read it by itself."""

    read_by: AgentId


class CancelledDelivery(Struct):
    """What cancelling did to one delivery.

    `result` is `cancelled`, `on_its_way` (too late: the session may hold it) or `over` (it had
    ended before).
    """

    id: DeliveryId
    agent_id: AgentId
    result: str
    state: DeliveryState
    reason: str | None = None


class Cancellation(Struct):
    """POST /api/messages/{id}/cancel: what became of each delivery; without a body."""

    id: MessageId
    deliveries: tuple[CancelledDelivery, ...]


class Pair(Struct):
    """Two agents that talk to each other alone, each in one such pair at a time.

    `reason` says why it ended: `rejected`, `withdrawn`, `expired`, `hung_up` or `agent_gone`.
    `ended_by` is the agent, or `operator`, that ended it; None when time did. `expires_at` is when
    an invitation ends that nobody has answered.
    """

    id: PairId
    inviter: AgentId
    invitee: AgentId
    state: PairState
    created_at: int
    updated_at: int
    objective: str | None = None
    reason: str | None = None
    ended_by: AgentId | None = None
    expires_at: int | None = None


class PairList(Struct):
    """GET /api/pairs: newest first."""

    pairs: tuple[Pair, ...]


class PairRequest(Struct):
    """POST /api/pairs: `target` is any target that means exactly one other agent.

    409 `pair_busy` when either of the two is in a pair that is pending or active. `from` may be
    left out with an agent's token.
    """

    target: str
    from_: AgentId | None = msgspec.field(name="from", default=None)
    objective: str | None = None
    instance_id: str | None = None
    epoch: int | None = None


class PairAnswer(Struct):
    """POST /api/pairs/{id}/accept|reject|hangup: the agent that does so.

    `from` says the same as `agentId`. Without either: the token's agent. With the user token,
    accepting and rejecting are then the invitee's, hanging up is the operator's.
    """

    agent_id: AgentId | None = None
    from_: AgentId | None = msgspec.field(name="from", default=None)
    instance_id: str | None = None
    epoch: int | None = None


class PairMessageRequest(Struct):
    """POST /api/pairs/{id}/messages: from one of the two, to the other."""

    body: str
    from_: AgentId | None = msgspec.field(name="from", default=None)
    subject: str | None = None
    reply_to: MessageId | None = None
    urgent: bool = False
    instance_id: str | None = None
    epoch: int | None = None


class Cursor(Struct):
    """GET /api/messages/cursor."""

    latest_id: int


class ErrorBody(Struct):
    """Every error of the hub: a stable word, a line for people, what mends it."""

    code: str
    detail: str
    fix: str | None = None
    delivery_ids: tuple[DeliveryId, ...] | None = None


class Served(Struct):
    """One agent that a host serves on its stream."""

    id: AgentId
    instance_id: str
    epoch: int


class ServeFrame(Struct, tag="serve", tag_field="type"):
    """From the host: these agents are served on this connection; replaces the former list."""

    agents: tuple[Served, ...]


class WatchFrame(Struct, tag="watch", tag_field="type"):
    """From a client: tell this connection, too, what concerns these agents; replaces the former.

    None is every agent, for the user alone. Watching is not serving: it makes nobody reachable.
    """

    agents: tuple[AgentId, ...] | None = None


class WatchingFrame(Struct, tag="watching", tag_field="type"):
    """From the hub: a watch has begun; `up_to` was the newest message then."""

    up_to: int


class ErrorFrame(Struct, tag="error", tag_field="type"):
    """From the hub: a frame could not be taken."""

    code: str
    detail: str


class MailFrame(Struct, tag="mail", tag_field="type"):
    """From the hub: a hint that there is something to fetch, up to this message."""

    agent_id: AgentId
    up_to: int


class ReceiptFrame(Struct, tag="receipt", tag_field="type"):
    """From the hub: a delivery of a message that a served agent (or the user) sent has changed.

    It tells how things stand then: `turn_status` once the turn that carried the message has ended,
    `answer` for a request, `claim` for work that this recipient has or had.
    """

    message_id: MessageId
    delivery_id: DeliveryId
    agent_id: AgentId
    state: DeliveryState
    reason: str | None = None
    sender: AgentId | None = None
    turn_status: TurnStatus | None = None
    answer: AnswerState | None = None
    claim: ClaimState | None = None
    at_ms: int = 0


class FencedFrame(Struct, tag="fenced", tag_field="type"):
    """From the hub: another instance took this agent over; this epoch is the new one."""

    agent_id: AgentId
    epoch: int


StreamFrame = MailFrame | ReceiptFrame | FencedFrame | WatchingFrame | ErrorFrame
"""What the hub sends on the stream; other types are ignored."""
