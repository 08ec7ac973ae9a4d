"""Rows of SQLite to Structs and back; the order of columns is that of the SELECTs."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from relay_core.dead_letters import DeadLetter, Transition
from relay_core.guards import Guard, GuardKind
from relay_core.held_mail import HeldDelivery
from relay_core.hub_api import Pair
from relay_core.messages import (
    OPERATOR,
    AgentId,
    AttemptId,
    ClaimEvent,
    ClaimState,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
    PairId,
    PairState,
    Sender,
    TurnStatus,
)
from relay_core.sessions import Agent
from relay_core.work import HandOver, Task
from relay_hub.store.rows import AttemptRow, ClaimRow

Row: TypeAlias = tuple[Any, ...]
"""What `sqlite3` gives: the columns' types are the schema's, which is STRICT."""

DELIVERY_WIDTH = 21
"""How many columns of a joined row are the delivery's; the message's follow."""

CLAIM_WIDTH = 11
"""How many columns of a joined row are the claim's."""

_strings = msgspec.json.Decoder(tuple[str, ...])
_sender = msgspec.json.Decoder(Sender)
_encode = msgspec.json.encode


def to_agent(row: Row) -> Agent:
    return Agent(
        id=AgentId(row[0]),
        name=row[1],
        label=row[2],
        machine=row[3],
        rig=row[4],
        tags=_strings.decode(row[5]),
        capabilities=_strings.decode(row[6]),
        channels=_strings.decode(row[7]),
        approval=row[8],
        status=row[9],
        ready=bool(row[10]),
        unattended=bool(row[11]),
        thread_id=row[12],
        adapter=row[13],
        waiting=row[14],
        last_user_turn_ms=row[15],
        last_seen_ms=row[16],
        instance_id=row[17],
        epoch=row[18],
        meta=msgspec.Raw(row[19]),
        created_at=row[20],
        quiet_until_ms=row[21],
        queued=row[22] if len(row) > 22 else 0,  # noqa: PLR2004 - the list counts, the look-up does not
    )


def from_agent(agent: Agent) -> Row:
    return (
        agent.id,
        agent.name,
        agent.label,
        agent.machine,
        agent.rig,
        _encode(agent.tags),
        _encode(agent.capabilities),
        _encode(agent.channels),
        agent.approval,
        agent.status,
        agent.ready,
        agent.unattended,
        agent.thread_id,
        agent.adapter,
        agent.waiting,
        agent.last_user_turn_ms,
        agent.last_seen_ms,
        agent.instance_id,
        agent.epoch,
        bytes(agent.meta),
        agent.created_at,
        agent.quiet_until_ms,
    )


def to_message(row: Row, *, edited: bool = False) -> Message:
    return Message(
        id=MessageId(row[0]),
        from_=AgentId(row[1]),
        to=row[2],
        channel=row[3],
        subject=row[4],
        body=row[5],
        reply_to=row[6],
        claimable=bool(row[7]),
        urgent=bool(row[8]),
        type=row[9],
        meta=msgspec.Raw(row[10]),
        sender=_sender.decode(row[11]),
        pair_id=row[12],
        conversation_id=row[13] or row[0],
        hop=row[14],
        created_at=row[15],
        expires_at=row[16],
        claimed_by=row[17],
        claimed_at=row[18],
        claim_expires_at=row[19],
        edited_by=OPERATOR if edited else None,
    )


def to_read_message(row: Row) -> Message:
    """A message as its recipient reads it: the last column tells whether that was edited."""
    return to_message(row, edited=bool(row[-1]))


def from_message(message: Message) -> Row:
    return (
        message.from_,
        message.to,
        message.channel,
        message.subject,
        message.body,
        message.reply_to,
        message.claimable,
        message.urgent,
        message.type,
        bytes(message.meta),
        _encode(message.sender),
        message.sender.credential == "agent",
        message.pair_id,
        message.conversation_id,
        message.hop,
        message.created_at,
        message.expires_at,
    )


def to_delivery(row: Row) -> Delivery:
    return Delivery(
        id=DeliveryId(row[0]),
        message_id=MessageId(row[1]),
        agent_id=AgentId(row[2]),
        seq=row[3],
        state=DeliveryState(row[4]),
        reason=row[5],
        attempts=row[6],
        strikes=row[7],
        attempt_id=row[8],
        claim_token=row[9],
        not_before_ms=row[10],
        held_until_ms=row[11],
        expires_ms=row[12],
        turn_id=row[13],
        turn_status=None if row[14] is None else TurnStatus(row[14]),
        created_ms=row[15],
        updated_ms=row[16],
        delivered_ms=row[17],
        retried_as=row[18],
        approved_ms=row[19],
        edited=bool(row[20]),
    )


def from_new_delivery(delivery: Delivery) -> Row:
    return (
        delivery.message_id,
        delivery.agent_id,
        delivery.seq,
        delivery.state,
        delivery.reason,
        delivery.expires_ms,
        delivery.created_ms,
        delivery.updated_ms,
        delivery.approved_ms,
    )


def from_delivery(delivery: Delivery) -> Row:
    return (
        delivery.state,
        delivery.reason,
        delivery.attempts,
        delivery.strikes,
        delivery.attempt_id,
        delivery.claim_token,
        delivery.not_before_ms,
        delivery.held_until_ms,
        delivery.turn_id,
        delivery.turn_status,
        delivery.updated_ms,
        delivery.delivered_ms,
        delivery.approved_ms,
        delivery.id,
    )


def to_attempt(row: Row, delivery_ids: tuple[DeliveryId, ...]) -> AttemptRow:
    return AttemptRow(
        id=AttemptId(row[0]),
        agent_id=AgentId(row[1]),
        thread_id=row[2],
        instance_id=row[3],
        epoch=row[4],
        started_ms=row[5],
        outcome=row[6],
        resolved_ms=row[7],
        turn_id=row[8],
        turn_status=None if row[9] is None else TurnStatus(row[9]),
        no_reply=row[10],
        for_others=bool(row[11]),
        delivery_ids=delivery_ids,
    )


def to_claim(row: Row) -> ClaimRow:
    return ClaimRow(
        message_id=MessageId(row[0]),
        state=ClaimState(row[1]),
        token=row[2],
        agent_id=row[3],
        claimed_ms=row[4],
        until_ms=row[5],
        lapses=row[6],
        result=row[7],
        since_ms=row[8],
        result_id=row[9],
        not_sent=row[10],
    )


def from_claim(claim: ClaimRow) -> Row:
    return (
        claim.message_id,
        claim.state,
        claim.token,
        claim.agent_id,
        claim.claimed_ms,
        claim.until_ms,
        claim.lapses,
        claim.result,
        claim.since_ms,
        claim.result_id,
        claim.not_sent,
    )


def to_guard(row: Row) -> Guard:
    return Guard(
        kind=GuardKind(row[0]),
        subject=row[1],
        reason=row[2],
        sender=AgentId(row[3]),
        recipient=row[4],
        refused=row[5],
        stopped_ms=row[6],
        reset_ms=row[7],
        more_hops=row[8],
        notice_id=row[9],
    )


def from_guard(guard: Guard) -> Row:
    return (
        guard.kind,
        guard.subject,
        guard.reason,
        guard.sender,
        guard.recipient,
        guard.refused,
        guard.stopped_ms,
        guard.reset_ms,
        guard.more_hops,
        guard.notice_id,
    )


def to_task(row: Row) -> Task:
    sender, target, subject, excerpt = row[CLAIM_WIDTH:]
    claim = to_claim(row)
    return Task(
        **{name: getattr(claim, name) for name in ClaimRow.__struct_fields__},
        from_=AgentId(sender),
        to=target,
        subject=subject,
        excerpt=excerpt,
    )


def to_hand_over(row: Row) -> HandOver:
    return HandOver(at_ms=row[0], event=ClaimEvent(row[1]), agent_id=row[2], token=row[3])


def to_pair(row: Row) -> Pair:
    return Pair(
        id=PairId(row[0]),
        inviter=AgentId(row[1]),
        invitee=AgentId(row[2]),
        objective=row[3],
        state=PairState(row[4]),
        reason=row[5],
        created_at=row[6],
        updated_at=row[7],
        ended_by=row[8],
        expires_at=row[9],
    )


def from_pair(pair: Pair) -> Row:
    return (
        pair.id,
        pair.inviter,
        pair.invitee,
        pair.objective,
        pair.state,
        pair.reason,
        pair.created_at,
        pair.updated_at,
        pair.ended_by,
        pair.expires_at,
    )


def to_dead_letter(row: Row) -> DeadLetter:
    sender, target, subject, excerpt, dropped_ms = row[DELIVERY_WIDTH:]
    return DeadLetter(
        delivery=to_delivery(row),
        from_=AgentId(sender),
        to=target,
        subject=subject,
        excerpt=excerpt,
        dropped_ms=dropped_ms,
    )


def to_held_delivery(row: Row) -> HeldDelivery:
    sender, target, subject, urgent, excerpt = row[DELIVERY_WIDTH:]
    return HeldDelivery(
        delivery=to_delivery(row),
        from_=AgentId(sender),
        to=target,
        subject=subject,
        urgent=bool(urgent),
        excerpt=excerpt,
    )


def to_transition(row: Row) -> Transition:
    return Transition(
        at_ms=row[0],
        event=row[1],
        before=DeliveryState(row[2]),
        after=DeliveryState(row[3]),
        reason=row[4],
        attempt_id=row[5],
    )
