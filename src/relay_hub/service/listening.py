"""Push connections: who listens, and for whom."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from relay_core.errors import HubRefused
from relay_core.hub_api import (
    FencedFrame,
    MailFrame,
    Served,
    WatchingFrame,
)
from relay_core.messages import (
    AgentId,
)
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service.changes import Changes
from relay_hub.service.committer import Committer
from relay_hub.store import Reads, Transaction
from relay_hub.streams import Sink, Streams, Subscription


class Listening:
    """Opens and closes streams, and says on them whom they serve."""

    def __init__(self, committer: Committer, streams: Streams, limits: Limits) -> None:
        self._change = committer.change
        self._look = committer.look
        self._streams = streams
        self._limits = limits

    def open(self, caller: Caller, sink: Sink) -> Subscription:
        """Add a push connection."""
        if len(self._streams) >= self._limits.streams:
            raise HubRefused(429, "too_many_streams", f"{len(self._streams)} streams are open")
        return self._streams.open(caller, sink)

    async def serve(self, subscription: Subscription, agents: Iterable[Served]) -> None:
        """Say whom a connection serves; who was fenced meanwhile is told so, and left out."""
        wanted = tuple(agents)
        for each in wanted:
            subscription.caller.must_act_as(each.id)

        async def work(reads: Reads) -> tuple[list[Agent | None], int, set[AgentId]]:
            found = [await reads.agent(each.id) for each in wanted]
            waiting = {each.id for each in wanted if await reads.waiting_count(each.id, 1)}
            return found, await reads.latest_message_id(), waiting

        found, latest, waiting = await self._look(work)
        served = [
            each
            for each, agent in zip(wanted, found, strict=True)
            if agent is not None and agent.epoch == each.epoch
        ]
        self._streams.serve(subscription, served)
        for each, agent in zip(wanted, found, strict=True):
            if agent is not None and agent.epoch != each.epoch:
                subscription.sink(FencedFrame(agent_id=each.id, epoch=agent.epoch))
            elif each.id in waiting:
                subscription.sink(MailFrame(agent_id=each.id, up_to=latest))

    async def watch(self, subscription: Subscription, agents: tuple[AgentId, ...] | None) -> None:
        """Tell a connection, too, what concerns these agents; None is every one."""
        if agents is None:
            subscription.caller.must_be_user()
        for agent_id in agents or ():
            subscription.caller.must_act_as(agent_id)
        self._streams.watch(subscription, None if agents is None else frozenset(agents))
        latest = await self._look(lambda reads: reads.latest_message_id())
        subscription.sink(WatchingFrame(up_to=latest))

    async def close(self, subscription: Subscription) -> None:
        """Remove a push connection, and note until when its agents were there."""
        epochs = dict(subscription.epochs)
        self._streams.close(subscription)

        async def work(tx: Transaction, changes: Changes) -> None:
            for agent_id, epoch in epochs.items():
                agent = await tx.agent(agent_id)
                if agent is not None and agent.epoch == epoch:
                    await tx.touch_agent(
                        msgspec.structs.replace(agent, last_seen_ms=changes.now_ms)
                    )

        if epochs:
            await self._change(work)
