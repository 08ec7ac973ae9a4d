"""Pairs under any order of calls: Hypothesis looks for one that breaks a promise."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub_kit import as_body, memory_hub
from relay_core.errors import HubRefused
from relay_core.hub_api import Pair, PairAnswer, PairMessageRequest, PairRequest
from relay_core.messages import AgentId, PairId, PairState
from relay_hub.callers import USER

AGENTS = ("a", "b", "c", "d")
NOT_NOW = {"pair_busy", "pair_pending", "pair_active", "pair_ended", "not_in_pair", "not_invited"}
OPEN = {PairState.PENDING, PairState.ACTIVE}
names = st.sampled_from(AGENTS)


class Pairs(RuleBasedStateMachine):
    """Four agents that invite, answer, talk, hang up and are deleted, and one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.hub = self.run(memory_hub())
        self.pairs: dict[PairId, Pair] = {}
        for name in AGENTS:
            self.run(self.hub.register(name))

    def run(self, work):
        return self.loop.run_until_complete(work)

    def tried(self, work):
        try:
            return self.run(work)
        except HubRefused as error:
            if error.code not in NOT_NOW:
                raise
            return None

    def partners(self, name: str) -> list[Pair]:
        return [
            each
            for each in self.pairs.values()
            if each.state in OPEN and name in (each.inviter, each.invitee)
        ]

    @rule(inviter=names, invitee=names)
    def invite(self, inviter: str, invitee: str) -> None:
        if inviter == invitee:
            return
        request = as_body(PairRequest, {"from": inviter, "target": invitee})
        pair = self.tried(self.hub.service.pairs.invite(request, USER))
        free = not self.partners(inviter) and not self.partners(invitee)
        assert (pair is not None) == free
        if pair is not None:
            self.pairs[pair.id] = pair

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), verb=st.sampled_from(["accept", "reject", "hang_up"]), name=names)
    def answer(self, data, verb: str, name: str) -> None:
        pair = self.pairs[data.draw(st.sampled_from(sorted(self.pairs)))]
        work = getattr(self.hub.service.pairs, verb)
        after = self.tried(work(pair.id, PairAnswer(agent_id=AgentId(name)), USER))
        if after is None:
            return
        assert name in (pair.inviter, pair.invitee)
        assert verb == "hang_up" or name == pair.invitee
        if pair.state is PairState.ENDED:
            assert after == pair, "what has ended has changed"
        self.pairs[pair.id] = after

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), name=names)
    def say(self, data, name: str) -> None:
        pair = self.pairs[data.draw(st.sampled_from(sorted(self.pairs)))]
        words = as_body(PairMessageRequest, {"from": name, "body": "words"})
        sent = self.tried(self.hub.service.pairs.say(pair.id, words, USER))
        members = {pair.inviter, pair.invitee}
        assert (sent is not None) == (pair.state is PairState.ACTIVE and name in members)
        if sent is not None:
            assert {each.agent_id for each in sent.deliveries} == members - {name}

    @rule(name=names)
    def delete_and_register(self, name: str) -> None:
        self.run(self.hub.service.agents.remove(AgentId(name), USER))
        self.run(self.hub.register(name))
        for pair in self.partners(name):
            after = self.run(self.hub.service.pairs.one(pair.id, USER))
            assert (after.state, after.reason) == (PairState.ENDED, "agent_gone")
            self.pairs[pair.id] = after

    @rule(seconds=st.sampled_from([1, 300, 601]))
    def wait(self, seconds: int) -> None:
        self.run(self.hub.wait(seconds))
        for pair in list(self.pairs.values()):
            if pair.expires_at is not None and pair.expires_at <= self.hub.clock.now_ms():
                after = self.run(self.hub.service.pairs.one(pair.id, USER))
                assert (after.state, after.reason) == (PairState.ENDED, "expired")
                self.pairs[pair.id] = after

    @invariant()
    def the_store_agrees(self) -> None:
        found = self.run(self.hub.service.pairs.all(None, tuple(PairState), None, 500, USER))
        assert {each.id: each for each in found.pairs} == self.pairs

    @invariant()
    def seats_are_those_of_open_pairs(self) -> None:
        for name in AGENTS:
            mine = self.partners(name)
            assert len(mine) <= 1
            seat = self.run(
                self.hub.service.store.read(lambda reads, name=name: reads.pair_of(AgentId(name)))
            )
            assert seat == (mine[0] if mine else None)

    def teardown(self) -> None:
        self.run(self.hub.close())
        self.loop.close()


TestPairs = Pairs.TestCase
TestPairs.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
