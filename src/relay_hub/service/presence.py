"""Who is there: served on a stream, or heard of not long ago."""

from __future__ import annotations

from relay_core.messages import OPERATOR
from relay_core.ports import Clock
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import agents
from relay_hub.streams import Streams


class Presence:
    """Tells where agents are now; asked from the writer's thread as well."""

    def __init__(self, streams: Streams, clock: Clock, limits: Limits) -> None:
        self._streams = streams
        self._clock = clock
        self._limits = limits

    def now_ms(self) -> int:
        """The hub's time."""
        return self._clock.now_ms()

    def is_reachable(self, agent: Agent) -> bool:
        """Tell whether an agent is served on a stream, or was heard of not long ago."""
        if agent.id == OPERATOR or self._streams.serves(agent.id, agent.epoch):
            return self._streams.serves(agent.id, agent.epoch)
        if agent.status == "offline" or agent.last_seen_ms is None:
            return False
        return self._clock.now_ms() - agent.last_seen_ms <= self._limits.heartbeat_ms

    def shown(self, agent: Agent, caller: Caller, *, queued: int | None = None) -> Agent:
        return agents.shown(
            agent,
            self._clock.now_ms(),
            reachable=self.is_reachable(agent),
            whole=caller.may_act_as(agent.id),
            queued=queued,
        )
