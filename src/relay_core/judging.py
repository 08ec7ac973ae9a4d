"""The verdicts of `on_message`, asked once for each delivery that arrives or is released."""

# Rule 1: what a human said yes to is held by no plugin; the trace says whose word counted.

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from relay_core.answers import Trace
from relay_core.delivery import WAITING
from relay_core.events import Arrived, WasHeld, WasSkipped
from relay_core.hub_api import VerdictRequest
from relay_core.messages import OPERATOR, DeliveryId, DeliveryState, Offer
from relay_core.plans import Decision, Ruling, Verdict
from relay_core.recorded import Inquiry
from relay_core.seat import Seat, plain
from relay_core.sessions import Session

_APPROVED = Decision(
    hook="on_message", plugin=OPERATOR, answer=msgspec.Raw(b'"approved"'), chosen=True
)


def ruled(
    verdict: Verdict, decisions: Trace, session: Session, *, approved: bool
) -> tuple[Verdict, Trace]:
    """Take a hold that is over, or that a human has ended, for none; pure."""
    over = verdict.until_ms is not None and verdict.until_ms <= session.now
    if verdict.ruling is not Ruling.HOLD or not (over or approved):
        return verdict, decisions
    if approved:
        decisions = (*(replace(each, chosen=False) for each in decisions), _APPROVED)
    return Verdict.deliver(), decisions


class Judge:
    """Asks the plugins about what waits for one session, and tells the hub what is held or
    skipped."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._judged: dict[DeliveryId, int] = {}
        self._arrived: set[DeliveryId] = set()

    async def judge(self, offers: Sequence[Offer]) -> tuple[Offer, ...]:
        """Return what may be delivered, with what is in doubt still among it."""
        kept = [offer for offer in offers if await self._passes(offer)]
        still_open = {offer.delivery.id for offer in offers}
        self._judged = {key: at for key, at in self._judged.items() if key in still_open}
        self._arrived &= still_open
        return tuple(kept)

    def ask_again(self) -> None:
        """Ask about everything that waits once more: the session is no longer what it was."""
        self._judged.clear()

    async def skip(self, offer: Offer, reason: str) -> None:
        """Tell the hub that this session will not show a message."""
        await self._give(offer, Verdict.skip(reason))

    async def _passes(self, offer: Offer) -> bool:
        row, seat = offer.delivery, self._seat
        if row.state not in WAITING or self._judged.get(row.id) == row.updated_ms:
            return True
        if row.id not in self._arrived:
            self._arrived.add(row.id)
            seat.tell(
                Arrived(
                    at_ms=seat.clock.now_ms(),
                    agent_id=seat.agent_id,
                    delivery_id=row.id,
                    message_id=row.message_id,
                )
            )
        verdict = await self._verdict(offer)
        if verdict.ruling is not Ruling.DELIVER:
            await self._give(offer, verdict)
            return False
        self._judged[row.id] = row.updated_ms
        return True

    async def _verdict(self, offer: Offer) -> Verdict:
        """Ask the plugins, and keep what they answered."""
        session, approved = self._seat.session(), offer.delivery.approved_ms is not None
        answer, trace = await self._seat.hooks.on_message(offer.message, session)
        verdict, decisions = ruled(answer, trace, session, approved=approved)
        inquiry = Inquiry(
            hook="on_message",
            session=session,
            messages=(offer.message,),
            result=verdict,
            trace=decisions,
            approved=approved,
        )
        self._seat.decided(inquiry)
        return verdict

    async def _give(self, offer: Offer, verdict: Verdict) -> None:
        row, seat = offer.delivery, self._seat
        held = verdict.ruling is Ruling.HOLD
        reason = plain(verdict.reason or verdict.ruling)
        request = VerdictRequest(
            state=DeliveryState.HELD if held else DeliveryState.SKIPPED,
            reason=reason,
            until=verdict.until_ms if held else None,
            agent_id=seat.agent_id,
            instance_id=seat.instance_id,
            epoch=seat.epoch,
        )
        await seat.hub.give_verdict(row.id, request)
        seat.tell(
            WasHeld(
                at_ms=seat.clock.now_ms(),
                agent_id=seat.agent_id,
                delivery_id=row.id,
                message_id=row.message_id,
                reason=reason,
                until_ms=verdict.until_ms,
            )
            if held
            else WasSkipped(
                at_ms=seat.clock.now_ms(),
                agent_id=seat.agent_id,
                delivery_id=row.id,
                message_id=row.message_id,
                reason=reason,
            )
        )
