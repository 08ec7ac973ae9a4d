"""The hub's service: every operation of the API as one call; no SQL and no HTTP."""

# Rule 1: an operation is one unit of work of the store. Whom it concerns is told after the commit.
# Rule 2: time and randomness come from the Clock and the Random that are passed in.
# Rule 3: what is refused raises HubRefused with the status and the code that go on the wire.

from __future__ import annotations

import logging

from relay_core.errors import HubRefused
from relay_core.ports import Clock, Random
from relay_hub.limits import Limits
from relay_hub.service import sweeping
from relay_hub.service.agent_calls import AgentCalls
from relay_hub.service.agent_tokens import AgentTokens
from relay_hub.service.claim_calls import ClaimCalls
from relay_hub.service.committer import Committer, NoRoom
from relay_hub.service.dead_calls import DeadCalls
from relay_hub.service.delivery_calls import DeliveryCalls
from relay_hub.service.guard_calls import GuardCalls
from relay_hub.service.held_calls import HeldCalls
from relay_hub.service.listening import Listening
from relay_hub.service.message_calls import MessageCalls
from relay_hub.service.pair_calls import PairCalls
from relay_hub.service.presence import Presence
from relay_hub.store import Store, StoreError, StoreFailed, StoreFull
from relay_hub.streams import Streams

log = logging.getLogger(__name__)


class HubService:
    """The rules of the hub over a store; used from one event loop.

    Make it with `await HubService.open(...)`. `sweep` must be called about once a second (`run`
    does so): TTLs, holds and leases end there.
    """

    def __init__(self, store: Store, clock: Clock, random: Random, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.clock = clock
        self.streams = Streams()
        self._committer = committer = Committer(store, self.streams, clock, random, limits)
        presence = Presence(self.streams, clock, limits)
        self._change = committer.change
        self._look = committer.look
        self._sweeper = sweeping.Sweeper(clock, limits)
        self._leases_are_off = False
        self.tokens = AgentTokens(committer, random)
        self.agents = AgentCalls(committer, presence, limits, self.tokens)
        self.messages = MessageCalls(committer, presence, limits)
        self.deliveries = DeliveryCalls(committer, presence, limits)
        self.claims = ClaimCalls(committer, limits)
        self.pairs = PairCalls(committer, presence, limits, random)
        self.dead = DeadCalls(committer)
        self.guards = GuardCalls(committer)
        self.held = HeldCalls(committer)
        self.listening = Listening(committer, self.streams, limits)

    @classmethod
    async def open(
        cls, store: Store, *, clock: Clock, random: Random, limits: Limits | None = None
    ) -> HubService:
        """Take up a store: leases that were held when the hub stopped begin anew."""
        service = cls(store, clock, random, limits or Limits())
        until_ms = clock.now_ms() + service.limits.claim_lease_ms
        try:
            await store.write(lambda tx: tx.restart_leases(until_ms))
        except StoreFull as error:  # what a caller is told to repeat is no start
            raise StoreError(error.detail, fix=error.fix) from error
        await service.tokens.load()
        return service

    async def sweep(self) -> None:
        """End what time ends: TTLs, holds, leases; hint at retries that are due; forget."""
        self._committer.full = self._no_room()
        self._leases_are_off |= self._sweeper.clock_jumped()
        if self._leases_are_off:
            until_ms = self.clock.now_ms() + self.limits.claim_lease_ms
            await self._change(lambda tx, _: tx.restart_leases(until_ms))
            self._leases_are_off = False
        if await self._look(self._sweeper.is_something_due):
            await self._change(sweeping.sweep)
        for delivery in await self._look(self._sweeper.retries):
            self.streams.mail(delivery.agent_id, delivery.message_id)
        if await self._look(self._sweeper.is_something_old):
            await self._change(sweeping.prune)

    def _no_room(self) -> NoRoom | None:
        size, free = self.store.size_bytes(), self.store.free_bytes()
        if size > self.limits.store_bytes:
            return NoRoom(
                detail=f"the store has {size} bytes, {self.limits.store_bytes} are allowed",
                fix="raise store_bytes or shorten keep, in [hub.limits] of config.toml",
            )
        if free < self.limits.free_bytes:
            return NoRoom(
                detail=f"{free} bytes are free for the store, "
                f"less than {self.limits.free_bytes} are to be left",
                fix="free some disk space, or lower free_bytes in [hub.limits] of config.toml",
            )
        return None

    async def run(self) -> None:
        """Sweep once a second until cancelled; HubRefused when the store has failed for good."""
        while True:
            await self.clock.sleep(sweeping.EVERY_S)
            try:
                await self.sweep()
            except HubRefused as error:
                if error.code == StoreFailed.code:
                    raise
                log.warning("what time ends has to wait: %s", error.detail)
