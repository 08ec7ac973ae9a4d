"""Bringing deliveries into a session: what may be tried, and what became of it."""

# Rule 1: an attempt is stored before it is made. What an attempt carries is in doubt until it is
#         resolved, and in no other attempt.
# Rule 2: resolving one is a single transaction for all its deliveries; doing it twice is harmless.

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from relay_core.delivery import (
    IN_DOUBT,
    WAITING,
    AttemptDoubted,
    AttemptFailed,
    AttemptRecorded,
    Event,
    FoundAbsent,
    Held,
    Proved,
    Released,
    Skipped,
)
from relay_core.errors import HubRefused
from relay_core.hub_api import (
    AnnotateRequest,
    AttemptRequest,
    Outcome,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import (
    QUIET,
    AgentId,
    Attempt,
    AttemptId,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
)
from relay_hub.callers import Caller
from relay_hub.limits import MINUTE, SECOND, Limits
from relay_hub.service import checks, claims, guard, requests
from relay_hub.service.changes import Changes, apply, tell_sender
from relay_hub.service.views import waits_for_a_yes
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import AttemptRow

MOST_DELIVERIES = 1_000

_JUST_ENDED_MS = MINUTE
_ASKED_ANEW_MS = SECOND


async def record(tx: Transaction, request: AttemptRequest, changes: Changes) -> Attempt:
    """Store an attempt, and that its deliveries are in doubt from now on.

    409 `attempt_open`, `not_waiting` or `stale_claim`, with the deliveries' ids; nothing is stored
    then. Recording the same again answers what is stored.
    """
    agent = await tx.agent(request.agent_id)
    agent = checks.fence(agent, request.agent_id, request.instance_id, request.epoch, required=True)
    if (former := await tx.attempt(request.attempt_id)) is not None:
        if former.agent_id != request.agent_id or set(former.delivery_ids) != set(
            request.delivery_ids
        ):
            raise HubRefused(409, "attempt_exists", f"attempt {request.attempt_id} is another one")
        return former
    deliveries = [await _own(tx, each, request.agent_id) for each in request.delivery_ids]
    await _check_waiting(tx, deliveries)
    messages = await _messages(tx, deliveries)
    for_others = request.starts_turn and await guard.check_turn(
        tx, request.agent_id, messages, changes
    )
    await tx.add_attempt(
        attempt := AttemptRow(
            id=request.attempt_id,
            agent_id=request.agent_id,
            thread_id=request.thread_id,
            delivery_ids=tuple(dict.fromkeys(request.delivery_ids)),
            started_ms=changes.now_ms,
            epoch=agent.epoch,
            instance_id=request.instance_id,
            for_others=for_others,
        )
    )
    if for_others:
        await guard.note_spent(tx, request.agent_id, messages, changes)
    for delivery in deliveries:
        await apply(tx, delivery, AttemptRecorded(attempt_id=request.attempt_id), changes)
    return attempt


async def _messages(tx: Reads, deliveries: Sequence[Delivery]) -> list[Message]:
    found = [await tx.message(each.message_id) for each in deliveries]
    return [each for each in found if each is not None]


def check(request: AttemptRequest) -> None:
    """Check all of an attempt that can be checked without looking at anything else."""
    checks.attempt_id(request.attempt_id)
    if not request.delivery_ids:
        raise checks.refuse("no_deliveries", "an attempt carries at least one delivery")
    if len(request.delivery_ids) > MOST_DELIVERIES:
        raise checks.refuse("too_many", f"an attempt carries {MOST_DELIVERIES} at most")
    if len(set(request.delivery_ids)) != len(request.delivery_ids):
        raise checks.refuse("bad_attempt", "a delivery is named twice")
    if checks.line("threadId", request.thread_id) is None:
        raise checks.refuse("bad_attempt", "threadId is empty")


async def _own(tx: Reads, delivery_id: DeliveryId, agent_id: AgentId) -> Delivery:
    delivery = await tx.delivery(delivery_id)
    if delivery is None or delivery.agent_id != agent_id:
        raise HubRefused(
            404,
            "unknown_delivery",
            f"{agent_id} has no delivery {delivery_id}",
            delivery_ids=(delivery_id,),
        )
    return delivery


async def _check_waiting(tx: Transaction, deliveries: list[Delivery]) -> None:
    if doubted := [each.id for each in deliveries if each.state in IN_DOUBT]:
        raise HubRefused(
            409, "attempt_open", "an earlier attempt is not resolved", delivery_ids=tuple(doubted)
        )
    if gone := [each.id for each in deliveries if each.state not in WAITING]:
        raise HubRefused(
            409, "not_waiting", "a delivery is no longer waiting", delivery_ids=tuple(gone)
        )
    if lost := [each.id for each in deliveries if not await claims.holds(tx, each)]:
        raise HubRefused(
            409, "stale_claim", "a claim is not held (any more)", delivery_ids=tuple(lost)
        )


async def resolve(
    tx: Transaction, attempt_id: AttemptId, outcome: Outcome, caller: Caller, changes: Changes
) -> AttemptRow:
    """Step every delivery of an attempt by what was found out."""
    attempt = await _attempt(tx, attempt_id, caller, outcome)
    event = _event(outcome)
    for delivery_id in attempt.delivery_ids:
        delivery = await tx.delivery(delivery_id)
        if delivery is None or delivery.attempt_id != attempt_id:
            continue  # a later attempt has it, which could only begin after this one was resolved
        if delivery.state in IN_DOUBT:
            after = await apply(tx, delivery, event, changes)
            await claims.resume(tx, after, changes)
    if attempt.outcome is None and not isinstance(event, AttemptDoubted):
        await tx.resolve_attempt(attempt_id, outcome.outcome, outcome.turn_id, changes.now_ms)
    return attempt


def _event(outcome: Outcome) -> Event:
    reason = checks.line("reason", outcome.reason)
    match outcome.outcome:
        case "delivered":
            return Proved(turn_id=outcome.turn_id, reason=reason)
        case "absent":
            return FoundAbsent(reason=reason, agent_crashed=outcome.crashed)
        case "failed":
            return AttemptFailed(reason=reason or "failed", permanent=outcome.permanent)
        case "uncertain":
            return AttemptDoubted()
        case other:
            raise checks.refuse(
                "bad_outcome", f"{other!r} is not delivered, absent, failed or uncertain"
            )


async def end_turn(
    tx: Transaction, attempt_id: AttemptId, report: TurnReport, caller: Caller, changes: Changes
) -> AttemptRow:
    """Store how the turn that carried an attempt ended, and let the senders know."""
    attempt = await _attempt(tx, attempt_id, caller, report)
    if attempt.turn_status is report.status and attempt.turn_id == report.turn_id:
        return attempt
    carried = [await tx.delivery(each) for each in attempt.delivery_ids]
    own = [each for each in carried if each is not None and each.attempt_id == attempt_id]
    no_reply = await requests.end_turn(tx, attempt, report, own, changes)
    await tx.end_turn(attempt_id, report.turn_id, report.status, no_reply)
    for delivery in own:
        await tell_sender(tx, delivery, changes)
        if report.cut_off:
            await claims.cut_off(tx, delivery, changes)
    return attempt


async def awaited(reads: Reads, attempt_id: AttemptId, caller: Caller) -> MessageId | None:
    """The request that waits for the last words of an attempt's turn."""
    attempt = await reads.attempt(attempt_id)
    if attempt is None or not caller.may_act_as(attempt.agent_id):
        raise _unknown(attempt_id)
    request = await requests.carried(reads, attempt)
    return None if request is None else request.id


async def _attempt(
    tx: Transaction,
    attempt_id: AttemptId,
    caller: Caller,
    actor: Outcome | TurnReport,
) -> AttemptRow:
    attempt = await tx.attempt(attempt_id)
    if attempt is None or not caller.may_act_as(attempt.agent_id):
        raise _unknown(attempt_id)
    if actor.agent_id not in (None, attempt.agent_id):
        raise checks.refuse(
            "foreign_agent", f"attempt {attempt_id} is not {actor.agent_id}'s", status=403
        )
    agent = await tx.agent(attempt.agent_id)
    checks.fence(agent, attempt.agent_id, actor.instance_id, actor.epoch, required=True)
    return attempt


def _unknown(attempt_id: AttemptId) -> HubRefused:
    return checks.refuse("unknown_attempt", f"there is no attempt {attempt_id}", status=404)


async def give_verdict(
    tx: Transaction,
    delivery_id: DeliveryId,
    verdict: VerdictRequest,
    caller: Caller,
    changes: Changes,
) -> Delivery:
    """Hold, skip or release a delivery.

    The agent itself does so with its epoch. A person may, without one: that release is a yes, after
    which no verdict of the agent's holds it. What waits for a yes is released, and held for another
    reason, with the user token only: 403 `user_only`.
    """
    delivery = await _delivery(tx, delivery_id, verdict, caller)
    by_person = caller.agent_id is None and verdict.epoch is None
    reason = checks.line("reason", verdict.reason)
    if verdict.state is not DeliveryState.SKIPPED and waits_for_a_yes(delivery):
        caller.must_be_user()
    match verdict.state:
        case DeliveryState.HELD if delivery.approved_ms is not None and not by_person:
            return delivery
        case DeliveryState.HELD:
            if verdict.until is not None and verdict.until <= changes.now_ms:
                raise checks.refuse("bad_until", "a hold ends in the future")
            until_ms = verdict.until
            if reason == QUIET and until_ms is not None:
                until_ms = await _within_the_quiet(tx, delivery, until_ms, changes)
            event: Event = Held(reason=reason or "held", until_ms=until_ms)
        case DeliveryState.SKIPPED:
            event = Skipped(reason=reason or "skipped")
        case DeliveryState.QUEUED if delivery.state is not DeliveryState.HELD:
            return delivery
        case DeliveryState.QUEUED:
            event = Released(approved=by_person)
        case other:
            raise checks.refuse("bad_verdict", f"{other} is not held, skipped or queued")
    return await apply(tx, delivery, event, changes)


async def _within_the_quiet(tx: Reads, delivery: Delivery, until_ms: int, changes: Changes) -> int:
    """When a hold for a quiet ends; its end may have changed while the verdict was on its way.

    One that was given just before the quiet ended is asked for anew in a moment.
    """
    agent, now_ms = await tx.agent(delivery.agent_id), changes.now_ms
    ends_ms = agent.quiet_until_ms if agent else None
    if ends_ms is None or now_ms - ends_ms > _JUST_ENDED_MS:
        return until_ms
    return min(until_ms, max(ends_ms, now_ms + _ASKED_ANEW_MS))


def check_annotations(request: AnnotateRequest, limits: Limits) -> AnnotateRequest:
    """Check names and sizes of annotations; answers copies of its own."""
    for key, value in request.annotations.items():
        if checks.line("an annotation's name", key, most=128) is None:
            raise checks.refuse("bad_annotation", "an annotation needs a name")
        if len(bytes(value)) > limits.meta_bytes:
            raise checks.refuse(
                "meta_too_large", f"{key!a} is larger than {limits.meta_bytes} bytes"
            )
    copies = {key: msgspec.Raw(bytes(value)) for key, value in request.annotations.items()}
    return replace(request, annotations=copies)


async def annotate(
    tx: Transaction,
    delivery_id: DeliveryId,
    request: AnnotateRequest,
    caller: Caller,
    changes: Changes,
) -> None:
    """Attach checked JSON to a delivery; an agent does so with its epoch, a person without."""
    delivery = await _delivery(tx, delivery_id, request, caller)
    for key, value in request.annotations.items():
        await tx.annotate(delivery_id, key, value)
    changes.has_mail(delivery)


async def _delivery(
    tx: Transaction,
    delivery_id: DeliveryId,
    actor: VerdictRequest | AnnotateRequest,
    caller: Caller,
) -> Delivery:
    delivery = await tx.delivery(delivery_id)
    if delivery is None or not caller.may_act_as(delivery.agent_id):
        raise checks.refuse("unknown_delivery", f"there is no delivery {delivery_id}", status=404)
    if actor.agent_id not in (None, delivery.agent_id):
        raise checks.refuse(
            "foreign_agent", f"delivery {delivery_id} is not {actor.agent_id}'s", status=403
        )
    agent = await tx.agent(delivery.agent_id)
    needs_epoch = actor.agent_id is not None or caller.agent_id is not None
    checks.fence(agent, delivery.agent_id, actor.instance_id, actor.epoch, required=needs_epoch)
    return delivery
