"""The guard against loops and their cost: what it stops, whom it tells, how it is reset."""

# Rule 1: it binds what agents say with tokens of their own, and the turns that this starts; what is
#         sent with the user's token is never stopped and never counted.
# Rule 2: what is refused leaves nothing behind but a mark here. A refusal undoes its transaction,
#         so the mark has one of its own.
# Rule 3: the operator is told with the mark, once, and again only after a reset or a day.

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from relay_core.errors import HubRefused
from relay_core.guards import Guard, GuardKind
from relay_core.messages import (
    HUB,
    OPERATOR,
    AgentId,
    Credential,
    Message,
    MessageId,
    Struct,
    starts_no_turn,
)
from relay_hub.limits import DAY, HOUR, MINUTE, Limits
from relay_hub.service import checks, notices, posting
from relay_hub.service.changes import Changes
from relay_hub.store import Reads, Transaction

STOPPED = "guard.stopped"
"""The type of what tells the operator that something was stopped."""

_TOLD_AGAIN_MS = DAY


class Stop(Struct):
    """What was stopped just now: its kind and subject, by which limit, between whom."""

    kind: GuardKind
    subject: str
    reason: str
    sender: AgentId
    recipient: str
    told: str


class GuardStopped(HubRefused):
    """429 `loop_guard`; whoever catches it marks the stop, outside of what was refused."""

    def __init__(self, stop: Stop, detail: str, *, retry_after_s: int | None = None) -> None:
        fix = f"a person was told; agent-relay guard reset {stop.subject} lets it go on"
        super().__init__(429, "loop_guard", detail, fix=fix, retry_after_s=retry_after_s)
        self.stop = stop


# --- conversations ---------------------------------------------------------------------------


async def check_conversation(tx: Reads, message: Message, limits: Limits, now_ms: int) -> None:
    """Refuse what goes round between agents too long or too often."""
    root = message.conversation_id
    if root is None:
        return
    if message.hop > limits.hops:
        most = limits.hops + (await _mark(tx, root)).more_hops
        if message.hop > most:
            detail = (
                f"this is answer number {message.hop} in a row between agents, {most} are allowed"
            )
            told = f"have answered each other {most} times in a row"
            raise GuardStopped(_stop(message, root, "hops", told), detail)
    window = limits.conversation_window_ms
    said = await tx.said_since(root, now_ms - window)
    if said.count < limits.conversation_messages:
        return
    reset_ms = (await _mark(tx, root)).reset_ms
    if reset_ms > now_ms - window:
        said = await tx.said_since(root, reset_ms)
    if said.count >= limits.conversation_messages:
        span = f"within {window // MINUTE} minutes"
        detail = f"agents have sent {said.count} messages in this conversation {span}"
        told = f"and others have sent {said.count} messages there {span}"
        raise GuardStopped(
            _stop(message, root, "conversation", told),
            detail,
            retry_after_s=seconds_left(said.first_ms, window, now_ms),
        )


def _stop(message: Message, root: MessageId, reason: str, told: str) -> Stop:
    return Stop(
        kind=GuardKind.CONVERSATION,
        subject=str(root),
        reason=reason,
        sender=message.from_,
        recipient=message.to,
        told=told,
    )


async def _mark(tx: Reads, root: MessageId) -> Guard:
    found = await tx.guard(GuardKind.CONVERSATION, str(root))
    return found or Guard(
        kind=GuardKind.CONVERSATION, subject=str(root), reason="", sender=HUB, recipient=""
    )


def seconds_left(first_ms: int | None, window_ms: int, now_ms: int) -> int:
    """How long until the first of too many falls out of its window."""
    return max(1, -(-((first_ms or now_ms) + window_ms - now_ms) // 1_000))


# --- turns -----------------------------------------------------------------------------------


async def turns_from_ms(reads: Reads, agent_id: AgentId, limits: Limits, now_ms: int) -> int | None:
    """When what agents sent may start a turn of this agent's again; None where it may."""
    started = await reads.turns_since(agent_id, now_ms - HOUR)
    if started.count < limits.turns_per_hour:
        return None
    mark = await reads.guard(GuardKind.TURNS, agent_id)
    if mark is not None and mark.reset_ms > now_ms - HOUR:
        started = await reads.turns_since(agent_id, mark.reset_ms)
        if started.count < limits.turns_per_hour:
            return None
    return (started.first_ms or now_ms) + HOUR


async def check_turn(
    tx: Transaction, agent_id: AgentId, messages: Sequence[Message], changes: Changes
) -> bool:
    """Refuse an attempt that may start no turn; answers whether its turn counts as one for others.

    409 `starts_no_turn`, 429 `turns_spent`.
    """
    if messages and all(map(starts_no_turn, messages)):
        raise HubRefused(
            409, "starts_no_turn", "all of this goes along with other messages, never by itself"
        )
    if any(each.sender.credential is Credential.USER for each in messages):
        return False
    from_ms = await turns_from_ms(tx, agent_id, changes.limits, changes.now_ms)
    if from_ms is not None:
        raise HubRefused(
            429,
            "turns_spent",
            f"{agent_id} has had its {changes.limits.turns_per_hour} turns of an hour for others",
            retry_after_s=seconds_left(from_ms, 0, changes.now_ms),
        )
    return True


async def note_spent(
    tx: Transaction, agent_id: AgentId, messages: Sequence[Message], changes: Changes
) -> None:
    """Mark that an agent's turns for others are spent, where the one just stored was the last."""
    if await turns_from_ms(tx, agent_id, changes.limits, changes.now_ms) is None:
        return
    stop = Stop(
        kind=GuardKind.TURNS,
        subject=agent_id,
        reason="turns",
        sender=messages[-1].from_,
        recipient=agent_id,
        told=f"has had {changes.limits.turns_per_hour} turns for other agents within an hour",
    )
    await note(tx, stop, changes)


# --- marks -----------------------------------------------------------------------------------


async def note(tx: Transaction, stop: Stop, changes: Changes) -> None:
    """Mark what was stopped; tell the operator, unless that was done already."""
    former = await tx.guard(stop.kind, stop.subject)
    mark = Guard(
        kind=stop.kind,
        subject=stop.subject,
        reason=stop.reason,
        sender=stop.sender,
        recipient=stop.recipient,
        refused=1,
        stopped_ms=changes.now_ms,
        reset_ms=former.reset_ms if former else 0,
        more_hops=former.more_hops if former else 0,
    )
    told_ms = former.stopped_ms if former else None
    if former is not None and told_ms is not None and changes.now_ms - told_ms < _TOLD_AGAIN_MS:
        await tx.put_guard(replace(former, refused=former.refused + 1))
        return
    operator = await tx.agent(OPERATOR)
    if operator is not None:
        told = await posting.post(tx, _notice(stop, mark, changes), operator, changes)
        mark = replace(mark, notice_id=told.message_id)
    await tx.put_guard(mark)


def _notice(stop: Stop, mark: Guard, changes: Changes) -> Message:
    if stop.kind is GuardKind.CONVERSATION:
        subject = f"Conversation {stop.subject} was stopped"
        what = f"{stop.sender} and {stop.recipient} {stop.told}, in conversation {stop.subject}."
        then = (
            f"What agents send there is refused now.\nRead it: agent-relay thread {stop.subject}\n"
        )
    else:
        subject = f"{stop.subject} has had its turns for others"
        what = f"{stop.subject} {stop.told}."
        then = "What agents send it waits; what you send goes on.\n"
    return Message(
        id=MessageId(0),
        from_=HUB,
        to=OPERATOR,
        body=f"{what}\n{then}Let it go on: agent-relay guard reset {stop.subject}",
        sender=notices.HUB_SENDER,
        created_at=changes.now_ms,
        subject=subject,
        type=STOPPED,
        meta=msgspec.Raw(msgspec.json.encode(mark)),
        expires_at=changes.now_ms + changes.limits.ttl_ms,
    )


async def reset(tx: Transaction, subject: str, changes: Changes) -> Guard:
    """Let what was stopped go on: a conversation by any of its messages, an agent by its id.

    404 `unknown_message` or `unknown_agent`, 409 `not_stopped`.
    """
    if subject.isascii() and subject.isdigit():
        message = await tx.message(MessageId(int(subject)))
        if message is None:
            raise checks.refuse("unknown_message", f"there is no message {subject}", status=404)
        key = GuardKind.CONVERSATION, str(message.conversation_id or message.id)
    else:
        agent = checks.fence(
            await tx.agent(AgentId(subject)), AgentId(subject), None, None, required=False
        )
        key = GuardKind.TURNS, str(agent.id)
    mark = await tx.guard(*key)
    if mark is None or mark.stopped_ms is None:
        raise HubRefused(409, "not_stopped", f"the guard has not stopped {key[0]} {key[1]}")
    return await _let_go_on(tx, mark, changes)


async def note_word(tx: Transaction, message: Message, changes: Changes) -> None:
    """Let a conversation go on that the operator has said something in: somebody is looking."""
    if message.from_ != OPERATOR or message.conversation_id is None:
        return
    mark = await tx.guard(GuardKind.CONVERSATION, str(message.conversation_id))
    if mark is not None and mark.stopped_ms is not None:
        await _let_go_on(tx, mark, changes)


async def _let_go_on(tx: Transaction, mark: Guard, changes: Changes) -> Guard:
    of_agent = mark.kind is GuardKind.TURNS
    again = replace(
        mark,
        stopped_ms=None,
        refused=0,
        reset_ms=changes.now_ms,
        more_hops=mark.more_hops + (0 if of_agent else changes.limits.hops),
        notice_id=None,
    )
    await tx.put_guard(again)
    if of_agent:
        await _hint(tx, AgentId(mark.subject), changes)
    return again


async def _hint(tx: Transaction, agent_id: AgentId, changes: Changes) -> None:
    for offer in await tx.offers(agent_id, 1):
        changes.has_mail(offer.delivery)
