"""One attempt: claim, write, record, hand over, and look for it in the agent's own history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from relay_core import outlook as outlooks
from relay_core.claiming import ClaimBook
from relay_core.delivery import IN_DOUBT
from relay_core.errors import (
    AdapterError,
    HubRefused,
    InjectionRefused,
    SessionGone,
    SessionMoved,
    StaleEpoch,
)
from relay_core.events import AttemptFailedEvent, Delivered
from relay_core.fence import fence
from relay_core.hub_api import AttemptRequest, Outcome
from relay_core.judging import Judge
from relay_core.messages import Attempt, AttemptId, Offer
from relay_core.plans import DeliveryPlan, Mode
from relay_core.ports import Absent, Evidence, Failpoint, Found, Injection, SessionChanged, Unknown
from relay_core.recorded import Inquiry
from relay_core.seat import Seat, log
from relay_core.sessions import Activity

PROMPT_LIMIT = 900_000
"""Characters of one prompt; Codex refuses more than 1,048,576."""

CONFLICT = 409


class Attempts:
    """Makes the attempts of one session, one at a time, and resolves those that are in doubt."""

    def __init__(
        self, seat: Seat, judge: Judge, *, while_looking: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        self._seat = seat
        self._judge = judge
        self._while_looking = while_looking
        self.claims = ClaimBook(seat.hub, seat.fence, log)
        seat.claims_held = self.claims.count

    async def resolve(self, offers: Sequence[Offer]) -> bool | None:
        """Look for every attempt in doubt, oldest first.

        False: nothing is in doubt. True: something still is. None: something was resolved, so that
        the offers are no longer true.
        """
        doubtful = {
            offer.attempt.id: offer.attempt
            for offer in offers
            if offer.delivery.state in IN_DOUBT and offer.attempt is not None
        }
        resolved = False
        for attempt in sorted(doubtful.values(), key=lambda each: each.started_ms):
            resolved |= await self._look(attempt, offers)
        return None if resolved else bool(doubtful)

    async def make(self, offers: Sequence[Offer], plan: DeliveryPlan) -> bool:
        """Bring these deliveries into the session as the plan says; True when the session moved."""
        seat = self._seat
        claimed = await self._claim(offers)
        if not claimed or (plan.mode is Mode.INTERRUPT and len(claimed) < len(offers)):
            return False  # what is left may not be worth an interrupt: plan again
        attempt_id = AttemptId(seat.random.token_hex(16))
        text, carried = await self._text(claimed, plan, attempt_id)
        turn = seat.outlook.turn
        if plan.mode is Mode.INTERRUPT and turn is not None:
            await seat.adapter.interrupt(seat.key, turn.id)
        await seat.failpoint(Failpoint.BEFORE_ATTEMPT)
        attempt = await self._record(attempt_id, carried, plan)
        if attempt is None:
            return False
        await seat.failpoint(Failpoint.ATTEMPT_RECORDED)
        injection = Injection(
            id=attempt_id,
            key=seat.key,
            text=text,
            marker=attempt_id,
            mode=plan.mode,
            turn_id=turn.id if turn else None,
        )
        return await self._inject(injection, attempt, carried)

    async def _claim(self, offers: Sequence[Offer]) -> list[Offer]:
        """Claim what is claimable; leave out what others hold and what the plugins decline."""
        seat = self._seat
        kept: list[Offer] = []
        for offer in offers:
            if not offer.message.claimable or self.claims.holds(offer):
                kept.append(offer)
                continue
            session = seat.session()
            wanted, decisions = await seat.hooks.on_claim(offer.message, session)
            inquiry = Inquiry(
                hook="on_claim",
                session=session,
                messages=(offer.message,),
                result=wanted,
                trace=decisions,
            )
            seat.decided(inquiry)
            if not wanted:
                await self._judge.skip(offer, "claim_declined")
            elif await self.claims.take(offer):
                await seat.failpoint(Failpoint.CLAIMED)
                kept.append(offer)
        return kept

    async def _text(
        self, offers: list[Offer], plan: DeliveryPlan, attempt_id: AttemptId
    ) -> tuple[str, list[Offer]]:
        """Write the prompt of as many of the oldest as fit."""
        seat, carried = self._seat, offers
        while True:
            messages = [self.claims.marked(offer) for offer in carried]
            session = seat.session()
            prompt, decisions = await seat.hooks.format_prompt(messages, session, plan)
            inquiry = Inquiry(
                hook="format_prompt",
                session=session,
                messages=messages,
                result=prompt,
                trace=decisions,
                plan=plan,
            )
            seat.decided(inquiry)
            text = fence(prompt, attempt_id)
            if len(text) <= PROMPT_LIMIT or len(carried) == 1:
                return text, carried
            carried = carried[: len(carried) // 2]

    async def _record(
        self, attempt_id: AttemptId, offers: Sequence[Offer], plan: DeliveryPlan
    ) -> Attempt | None:
        """Store the attempt; None when a delivery is no longer ours to make: look again."""
        seat = self._seat
        request = AttemptRequest(
            attempt_id=attempt_id,
            agent_id=seat.agent_id,
            thread_id=seat.seen.thread_id,
            delivery_ids=tuple(offer.delivery.id for offer in offers),
            starts_turn=plan.mode is not Mode.STEER,
            instance_id=seat.instance_id,
            epoch=seat.epoch,
        )
        try:
            return await seat.persist(lambda: seat.hub.record_attempt(request))
        except StaleEpoch:
            raise
        except HubRefused as refused:
            if refused.status != CONFLICT:
                raise
            log.info("%s: attempt not recorded: %s", seat.agent_id, refused)
            self.claims.drop(offers, refused.delivery_ids)
            return None

    async def _inject(
        self, injection: Injection, attempt: Attempt, offers: Sequence[Offer]
    ) -> bool:
        seat = self._seat
        try:
            await seat.failpoint(Failpoint.BEFORE_INJECT)
            handed = await seat.adapter.inject(injection)
        except SessionMoved as moved:
            log.info("%s: %s", seat.agent_id, moved)
            await self._settle(attempt, seat.outcome("absent", reason=moved.code))
            return True
        except SessionGone as gone:
            seat.trouble(gone)
            away = SessionChanged(key=seat.key, activity=Activity.AWAY)
            seat.outlook = outlooks.after(seat.outlook, away, seat.clock.now_ms())
            await self._settle(attempt, seat.outcome("absent", reason=gone.code))
        except InjectionRefused as refused:
            await self._refused(refused, attempt, offers)
        except AdapterError as error:
            # It may or may not have gone in: only the history can tell.
            seat.trouble(error)
            await self._look(attempt, offers)
        else:
            if injection.mode is not Mode.STEER and not handed.steered:
                seat.outlook = outlooks.after_start(seat.outlook)
            await self._look(attempt, offers)
        return False

    async def _refused(
        self, refused: InjectionRefused, attempt: Attempt, offers: Sequence[Offer]
    ) -> None:
        seat = self._seat
        seat.trouble(refused)
        outcome = seat.outcome("failed", reason=refused.code, permanent=refused.permanent)
        await self._settle(attempt, outcome)
        for offer in offers:
            seat.tell(
                AttemptFailedEvent(
                    at_ms=seat.clock.now_ms(),
                    agent_id=seat.agent_id,
                    delivery_id=offer.delivery.id,
                    message_id=offer.message.id,
                    reason=refused.detail,
                )
            )

    async def _look(self, attempt: Attempt, offers: Sequence[Offer]) -> bool:
        """Look for one attempt; True when it is settled."""
        seat = self._seat
        seat.note_carried(attempt, offers)
        match await self._find(attempt):
            case Unknown():
                return False
            case Found(turn_id=turn_id, reason=reason):
                await seat.failpoint(Failpoint.EVIDENCE_SEEN)
                await self._settle(
                    attempt, seat.outcome("delivered", turn_id=turn_id, reason=reason)
                )
                await self._tell_delivered(attempt, offers, turn_id)
            case Absent(reason=reason, agent_crashed=crashed):
                await self._settle(attempt, seat.outcome("absent", reason=reason, crashed=crashed))
        return True

    async def _find(self, attempt: Attempt) -> Evidence:
        beside = asyncio.create_task(self._while_looking())
        try:
            return await self._seat.adapter.find(self._seat.key, attempt, marker=attempt.id)
        finally:
            beside.cancel()
            await asyncio.wait([beside])

    async def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        seat = self._seat
        await seat.persist(lambda: seat.hub.report_outcome(attempt.id, outcome))
        await seat.failpoint(Failpoint.RECEIPT_STORED)

    async def _tell_delivered(
        self, attempt: Attempt, offers: Sequence[Offer], turn_id: str | None
    ) -> None:
        seat = self._seat
        for offer in offers:
            if offer.delivery.id in attempt.delivery_ids:
                seat.tell(
                    Delivered(
                        at_ms=seat.clock.now_ms(),
                        agent_id=seat.agent_id,
                        delivery_id=offer.delivery.id,
                        message_id=offer.message.id,
                        turn_id=turn_id,
                    )
                )
