"""Epochs and idempotency keys under any order of calls, removals and restarts of the hub."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from hub_kit import Hub, SeededRandom, as_body, memory_hub
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import HeartbeatRequest, RegisterRequest, SendRequest
from relay_core.messages import AgentId, MessageId
from relay_hub.callers import USER
from relay_hub.service import HubService
from relay_hub.service.once import once

AGENTS = ("a", "b")
INSTANCES = ("one", "two")
names, instances = st.sampled_from(AGENTS), st.sampled_from(INSTANCES)


class Epochs(RuleBasedStateMachine):
    """Two agents, each with two instances that take it from each other; one sender with keys."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.hub: Hub = self.run(memory_hub())
        self.newest = dict.fromkeys(AGENTS, 0)
        self.owner: dict[str, str | None] = dict.fromkeys(AGENTS)
        self.known: dict[tuple[str, str], int] = {}
        self.answers: dict[str, tuple[str, int]] = {}
        self.messages = 0

    def run(self, work):
        return self.loop.run_until_complete(work)

    @rule(name=names, instance=instances)
    def register(self, name: str, instance: str) -> None:
        request = as_body(RegisterRequest, {"id": name, "instanceId": instance})
        agent = self.run(self.hub.service.agents.register(request, USER)).agent
        assert agent.epoch == self.newest[name] + 1, "one more, and never one that was used"
        self.newest[name] = self.known[name, instance] = agent.epoch
        self.owner[name] = instance

    @rule(name=names, instance=instances)
    def beat(self, name: str, instance: str) -> None:
        epoch = self.known.get((name, instance))
        if epoch is None:
            return
        request = as_body(HeartbeatRequest, {"instanceId": instance, "epoch": epoch})
        try:
            self.run(self.hub.service.agents.heartbeat(AgentId(name), request, USER))
        except StaleEpoch:
            said = "stale_epoch"
        except HubRefused as refused:
            said = refused.code
        else:
            said = "beats"
        newest = (self.owner[name], self.newest[name]) == (instance, epoch)
        there = "beats" if newest else "stale_epoch"
        assert said == ("unknown_agent" if self.owner[name] is None else there)

    @rule(name=names)
    def remove(self, name: str) -> None:
        if self.owner[name] is not None:
            self.run(self.hub.service.agents.remove(AgentId(name), USER))
            self.owner[name] = None

    @rule(name=names, key=st.sampled_from(["k1", "k2", "k3"]), body=st.sampled_from(["x", "y"]))
    def send(self, name: str, key: str, body: str) -> None:
        asked = f"{name} {body}"
        caller = replace(USER, once=once(USER, "POST /api/messages", key, asked.encode()))
        before = self.answers.get(key)
        try:
            sent = self.run(self.hub.service.messages.send(SendRequest(to=name, body=body), caller))
        except HubRefused as refused:
            told: object = refused.code
        else:
            told = sent.id
        if before is not None:  # the same request has the same answer
            assert told == (before[1] if before[0] == asked else "idempotency_mismatch")
        elif self.owner[name] is None:
            assert told == "unknown_target"
        else:
            assert isinstance(told, int)
            self.messages += 1
            self.answers[key] = (asked, told)

    @rule(seconds=st.integers(1, 3_600))
    def wait(self, seconds: int) -> None:
        self.hub.clock.ms += seconds * 1_000
        self.run(self.hub.service.sweep())

    @rule()
    def restart(self) -> None:
        store, clock = self.hub.service.store, self.hub.clock
        service = self.run(HubService.open(store, clock=clock, random=SeededRandom(2)))
        self.hub = Hub(service, clock)

    @invariant()
    def each_key_made_one_message(self) -> None:
        assert self.run(self.hub.service.messages.latest_id()) >= self.messages
        for _, number in self.answers.values():
            self.run(self.hub.service.messages.one(MessageId(number), USER))

    def teardown(self) -> None:
        self.run(self.hub.close())
        self.loop.close()


TestEpochs = Epochs.TestCase
TestEpochs.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
