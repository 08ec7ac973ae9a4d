"""The claims that one session holds: taken before an attempt, kept until the work ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from relay_core.errors import HubError, HubRefused, StaleEpoch, WireError
from relay_core.hub_api import Claim, ClaimRequest, Fence
from relay_core.messages import Message, MessageId, Offer
from relay_core.ports import HubPort

GONE = frozenset({404, 409})
"""Statuses that mean that the claim is not, or no longer, this session's."""

SHORTEST_MS = 200
"""Renewals are never closer together than this."""


class ClaimBook:
    """Takes, renews and forgets one session's claims.

    A claim is renewed from the moment that it is taken until the hub says that it is no longer this
    session's: completed, failed, released, or lapsed and taken by another. `taken` is set when one
    was added, so that whoever renews looks at its lease.
    """

    def __init__(self, hub: HubPort, fence: Callable[[], Fence], log: logging.Logger) -> None:
        self._hub = hub
        self._fence = fence
        self._log = log
        self._held: dict[MessageId, Claim] = {}
        self.taken = asyncio.Event()

    def holds(self, offer: Offer) -> bool:
        """Whether this session holds the claim of an offer's message, as far as it knows."""
        return offer.message.id in self._held

    def count(self) -> int:
        """How many claims this session holds, as far as it knows."""
        return len(self._held)

    async def take(self, offer: Offer) -> bool:
        """Claim an offer's message; False when another agent has it."""
        request = msgspec.structs.replace(self._request(None), kept=True)
        try:
            claim = await self._hub.claim(offer.message.id, request)
        except StaleEpoch:
            raise
        except HubRefused as refused:
            if refused.status not in GONE:
                raise
            self._log.info("message %s not claimed: %s", offer.message.id, refused)
            return False
        self.keep(claim)
        return True

    def keep(self, claim: Claim) -> None:
        """Renew a claim that was taken in whichever way, from now on."""
        self._held[claim.message_id] = claim
        self.taken.set()

    def forget(self, message_id: MessageId) -> None:
        """Renew a claim no longer: its work has ended or was given back."""
        self._held.pop(message_id, None)

    def adopt(self, claims: Iterable[Claim]) -> None:
        """Take up what the hub says this agent holds: a host before this one, or a person, took it.

        What is known here stays: the hub may have said it before the last renewal.
        """
        for claim in claims:
            if claim.message_id not in self._held:
                self.keep(claim)

    def next_renewal_ms(self, now_ms: int, most_ms: int) -> int:
        """How long until a third of the shortest lease is over; at most `most_ms`."""
        left = [claim.until_ms - now_ms for claim in self._held.values() if claim.until_ms]
        return max(min([most_ms, *(each // 3 for each in left)]), SHORTEST_MS)

    async def renew(self) -> None:
        """Renew every claim; forget those that the hub no longer grants."""
        for message_id, claim in list(self._held.items()):
            try:
                renewed = await self._hub.renew(message_id, self._request(claim.token))
            except StaleEpoch:
                raise
            except HubRefused as refused:
                self._log.info("claim of message %s: %s", message_id, refused)
                if refused.status in GONE:
                    self._held.pop(message_id, None)
            except (HubError, WireError) as error:
                self._log.info("claim of message %s not renewed: %s", message_id, error)
            else:
                self._held[message_id] = renewed

    def marked(self, offer: Offer) -> Message:
        """The message with the claim that this session holds on it, for the prompt."""
        claim = self._held.get(offer.message.id)
        if claim is None:
            return offer.message
        return msgspec.structs.replace(
            offer.message, claimed_by=claim.agent_id, claim_expires_at=claim.until_ms
        )

    def drop(self, offers: Iterable[Offer], delivery_ids: Iterable[int]) -> None:
        """Forget the claims of deliveries that the hub refused."""
        lost = set(delivery_ids)
        for offer in offers:
            if offer.delivery.id in lost:
                self._held.pop(offer.message.id, None)

    def _request(self, token: int | None) -> ClaimRequest:
        fence = self._fence()
        return ClaimRequest(
            agent_id=fence.agent_id,
            instance_id=fence.instance_id,
            epoch=fence.epoch,
            token=token,
        )
