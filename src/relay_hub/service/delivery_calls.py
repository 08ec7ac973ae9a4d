"""What can be asked of the hub about deliveries and attempts."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType

from relay_core.hub_api import (
    AnnotateRequest,
    AttemptRequest,
    AwaitedAnswer,
    OfferList,
    Outcome,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    Delivery,
    DeliveryId,
    DeliveryState,
    MessageId,
    Offer,
)
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import attempts, checks, guard
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.service.presence import Presence
from relay_hub.service.views import may_read
from relay_hub.store import Reads, Transaction
from relay_hub.store.rows import AttemptRow


class DeliveryCalls:
    """What a host asks for the sessions that it serves."""

    def __init__(self, committer: Committer, presence: Presence, limits: Limits) -> None:
        self._change = committer.change
        self._look = committer.look
        self._presence = presence
        self._limits = limits

    async def offers(
        self,
        agent_id: AgentId,
        caller: Caller,
        *,
        instance_id: str | None = None,
        epoch: int | None = None,
    ) -> OfferList:
        """List what is open for an agent, oldest first; the epoch is checked where it is given."""
        caller.must_act_as(agent_id)

        async def work(reads: Reads) -> OfferList:
            found = await reads.agent(agent_id)
            agent = checks.fence(found, agent_id, instance_id, epoch, required=False)
            offers = await reads.offers(agent_id, self._limits.offer_bytes)
            return OfferList(
                offers=await _readable(reads, offers, caller),
                claims=await reads.claims_of(agent_id),
                turns_from_ms=await guard.turns_from_ms(
                    reads, agent_id, self._limits, self._presence.now_ms()
                ),
                quiet_until_ms=agent.quiet_until_ms,
                label=agent.label,
                tags=agent.tags,
            )

        return await self._look(work)

    async def history(
        self,
        agent_id: AgentId,
        states: Iterable[DeliveryState],
        before: MessageId,
        most: int,
        caller: Caller,
    ) -> OfferList:
        """List an agent's newest deliveries in some states, oldest first.

        Of messages before `before`.
        """
        caller.must_act_as(agent_id)
        wanted = tuple(states)

        async def work(reads: Reads) -> OfferList:
            found = await reads.history(agent_id, wanted, before, most)
            return OfferList(offers=await _readable(reads, found, caller))

        return await self._look(work)

    async def record_attempt(self, request: AttemptRequest, caller: Caller) -> Attempt:
        """Store an attempt before it is made."""
        caller.must_act_as(request.agent_id)
        attempts.check(request)

        async def work(tx: Transaction, changes: Changes) -> Attempt:
            return await attempts.record(tx, request, changes)

        return await self._change(work, Attempt, caller)

    async def report_outcome(self, attempt_id: AttemptId, outcome: Outcome, caller: Caller) -> None:
        """Resolve an attempt."""
        await self._change(
            lambda tx, changes: attempts.resolve(tx, attempt_id, outcome, caller, changes),
            AttemptRow,
            caller,
        )

    async def awaited(self, attempt_id: AttemptId, caller: Caller) -> AwaitedAnswer:
        """Tell which request waits for the last words of an attempt's turn."""
        found = await self._look(lambda reads: attempts.awaited(reads, attempt_id, caller))
        return AwaitedAnswer(message_id=found)

    async def report_turn(self, attempt_id: AttemptId, report: TurnReport, caller: Caller) -> None:
        """Store how a turn ended."""
        await self._change(
            lambda tx, changes: attempts.end_turn(tx, attempt_id, report, caller, changes),
            AttemptRow,
            caller,
        )

    async def give_verdict(
        self, delivery_id: DeliveryId, verdict: VerdictRequest, caller: Caller
    ) -> Delivery:
        """Hold, skip or release a delivery."""
        return await self._change(
            lambda tx, changes: attempts.give_verdict(tx, delivery_id, verdict, caller, changes),
            Delivery,
            caller,
        )

    async def annotate(
        self, delivery_id: DeliveryId, request: AnnotateRequest, caller: Caller
    ) -> None:
        """Attach JSON to a delivery, key by key; `null` takes a key away."""
        checked = attempts.check_annotations(request, self._limits)
        await self._change(
            lambda tx, changes: attempts.annotate(tx, delivery_id, checked, caller, changes),
            NoneType,
            caller,
        )


async def _readable(reads: Reads, offers: tuple[Offer, ...], caller: Caller) -> tuple[Offer, ...]:
    return tuple([offer for offer in offers if await may_read(reads, offer.delivery, caller)])
