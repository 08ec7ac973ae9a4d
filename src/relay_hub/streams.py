"""Who listens: the open push connections and the agents that each of them serves."""

# Rule 1: a frame is a hint or a notice; nothing depends on its arrival. What was missed is fetched.
# Rule 2: nothing here waits: a sink takes a frame or drops its connection.
# Rule 3: the loop's thread changes; the store's writer thread asks `serves` meanwhile. So what that
#         reads is replaced as a whole and never changed, and who stays served is never missing.

from __future__ import annotations

from collections.abc import Callable, Iterable

from relay_core.hub_api import FencedFrame, MailFrame, ReceiptFrame, Served, StreamFrame
from relay_core.messages import OPERATOR, AgentId
from relay_hub.callers import Caller

Sink = Callable[[StreamFrame], None]
"""Takes a frame without waiting; called in the event loop's thread."""


class Subscription:
    """One open connection: who opened it, whom it serves with which epoch, whom it watches."""

    def __init__(self, caller: Caller, sink: Sink) -> None:
        self.caller = caller
        self.sink = sink
        self.epochs: dict[AgentId, int] = {}
        self.watched: frozenset[AgentId] | None = frozenset()

    def watches(self, agent_id: AgentId) -> bool:
        """Tell whether it hears of this agent without serving it."""
        return self.watched is None or agent_id in self.watched


class Streams:
    """All open connections of this hub."""

    def __init__(self) -> None:
        self._open: set[Subscription] = set()
        self._users = 0
        self._watching: tuple[Subscription, ...] = ()
        self._serving: dict[AgentId, tuple[Subscription, ...]] = {}
        self.frames = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, caller: Caller, sink: Sink) -> Subscription:
        """Add a connection; the user's hears of the operator's messages at once."""
        subscription = Subscription(caller, sink)
        self._open.add(subscription)
        self._users += _is_users(subscription)
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Remove a connection; doing it twice is harmless."""
        if subscription in self._open:
            self._open.discard(subscription)
            self._users -= _is_users(subscription)
        self.serve(subscription, ())
        self.watch(subscription, frozenset())

    def watch(self, subscription: Subscription, agents: frozenset[AgentId] | None) -> None:
        """Say whose events a connection hears besides; None is every agent's."""
        subscription.watched = agents
        others = tuple(each for each in self._watching if each is not subscription)
        self._watching = others if agents == frozenset() else (*others, subscription)

    def serve(self, subscription: Subscription, agents: Iterable[Served]) -> None:
        """Say whom a connection serves from now on; replaces the former list."""
        former, subscription.epochs = subscription.epochs, {each.id: each.epoch for each in agents}
        for agent_id in subscription.epochs.keys() - former.keys():
            self._serving[agent_id] = (*self._serving.get(agent_id, ()), subscription)
        for agent_id in former.keys() - subscription.epochs.keys():
            others = tuple(each for each in self._serving[agent_id] if each is not subscription)
            if others:
                self._serving[agent_id] = others
            else:
                del self._serving[agent_id]

    def serves(self, agent_id: AgentId, epoch: int) -> bool:
        """Tell whether some connection serves this agent in this epoch; any thread may ask."""
        if agent_id == OPERATOR:
            return self._users > 0
        return any(each.epochs.get(agent_id) == epoch for each in self._serving.get(agent_id, ()))

    def mail(self, agent_id: AgentId, up_to: int) -> None:
        """Hint that there is something to fetch."""
        self._send(self._listeners(agent_id), MailFrame(agent_id=agent_id, up_to=up_to))

    def receipt(self, frame: ReceiptFrame) -> None:
        """Tell a sender where a delivery of its message stands."""
        self._send(self._listeners(frame.sender or OPERATOR, frame.agent_id), frame)

    def fence(self, agent_id: AgentId, epoch: int) -> None:
        """Tell whoever served an agent before that `epoch` is the one that counts."""
        frame = FencedFrame(agent_id=agent_id, epoch=epoch)
        for subscription in self._serving.get(agent_id, ()):
            if subscription.epochs[agent_id] != epoch:
                kept = [
                    Served(id=each, instance_id="", epoch=number)
                    for each, number in subscription.epochs.items()
                    if each != agent_id
                ]
                self.serve(subscription, kept)
                self._send((subscription,), frame)

    def _listeners(
        self, agent_id: AgentId, other: AgentId | None = None
    ) -> tuple[Subscription, ...]:
        """Who serves an agent, and who watches it or the other one; nobody twice."""
        if agent_id == OPERATOR:
            serving = tuple(each for each in self._open if _is_users(each))
        else:
            serving = self._serving.get(agent_id, ())
        if not self._watching:
            return serving
        watching = (
            each
            for each in self._watching
            if each not in serving
            and (each.watches(agent_id) or (other is not None and each.watches(other)))
        )
        return (*serving, *watching)

    def _send(self, to: Iterable[Subscription], frame: StreamFrame) -> None:
        for subscription in to:
            self.frames += 1
            subscription.sink(frame)


def _is_users(subscription: Subscription) -> bool:
    return subscription.caller.agent_id is None
