"""Claims and epochs under any order of calls: Hypothesis looks for one that breaks a promise."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub_kit import memory_hub
from relay_core.delivery import FINAL
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.messages import ClaimEvent, ClaimState, DeliveryState, MessageId
from relay_hub.callers import USER

AGENTS = ("a", "b", "c")
NOT_NOW = {"claim_held", "stale_claim", "not_waiting", "attempt_open"}
names = st.sampled_from(AGENTS)


class Claims(RuleBasedStateMachine):
    """Three agents, one claimable message, one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.hub = self.run(memory_hub())
        for name in AGENTS:
            self.run(self.hub.register(name, tags=["t"]))
        self.id = MessageId(self.run(self.hub.send("tag:t", claimable=True)).id)
        self.tokens: list[int] = [0]
        self.holder: str | None = None
        self.injected = dict.fromkeys(AGENTS, 0)
        self.open_attempts: dict[str, str] = {}
        self.epochs = dict.fromkeys(AGENTS, 1)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def tried(self, work):
        try:
            return self.run(work)
        except HubRefused as error:
            if error.code not in NOT_NOW:
                raise
            return None

    def claiming(self, verb: str, name: str):
        work, before = getattr(self.hub.service.claims, verb), self.claim()
        claim = self.tried(work(self.id, self.hub.claiming(name), USER))
        if claim is not None:
            # What is told twice answers what is stored.
            repeated = claim == before and verb not in {"take", "renew"}
            assert repeated or (claim.token > self.tokens[-1] and claim.token > before.token)
            self.tokens.append(claim.token)
        return claim

    @rule(name=names)
    def take(self, name: str) -> None:
        claim = self.claiming("take", name)
        if claim is not None:
            assert self.holder in (None, name), "two agents hold the claim"
            self.holder = name

    @rule(name=names)
    def renew(self, name: str) -> None:
        claim = self.claiming("renew", name)
        assert (claim is not None) == (self.holder == name)

    @rule(name=names, verb=st.sampled_from(["complete", "fail"]))
    def end(self, name: str, verb: str) -> None:
        had = self.holder == name
        claim = self.claiming(verb, name)
        assert claim is not None or not had
        if had:
            self.holder = None

    @rule(name=names)
    def release(self, name: str) -> None:
        had = self.holder == name
        claim = self.claiming("release", name)
        assert claim is not None or not had
        if had:
            self.holder = None

    @rule(name=names)
    def register_again(self, name: str) -> None:
        agent = self.run(self.hub.register(name, tags=["t"]))
        assert agent.epoch == self.epochs[name] + 1
        self.epochs[name] = agent.epoch

    @rule(name=names)
    def act_with_an_old_epoch(self, name: str) -> None:
        request = self.hub.claiming(name, epoch=self.epochs[name] - 1)
        try:
            self.run(self.hub.service.claims.take(self.id, request, USER))
        except StaleEpoch:
            return
        raise AssertionError("a fenced instance took a claim")

    @rule(name=names)
    def inject(self, name: str) -> None:
        view = self.run(self.hub.service.messages.one(self.id, USER))
        delivery = [each for each in view.deliveries if each.agent_id == name][-1]
        attempt = self.tried(self.hub.inject(name, delivery.id))
        if attempt is not None:
            assert self.holder == name, "injected without the claim"
            assert name not in self.open_attempts
            self.open_attempts[name] = attempt.id

    @precondition(lambda self: self.open_attempts)
    @rule(data=st.data(), outcome=st.sampled_from(["delivered", "absent", "failed"]))
    def resolve(self, data, outcome: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.open_attempts)))
        self.run(self.hub.resolve(name, self.open_attempts.pop(name), outcome))
        if self.holder is None and self.claim().state is ClaimState.HELD:
            assert (outcome, self.claim().agent_id) == ("delivered", name)
            self.holder = name
        self.injected[name] += outcome == "delivered"

    @rule(seconds=st.sampled_from([1, 20, 59, 61]))
    def wait(self, seconds: int) -> None:
        self.run(self.hub.wait(seconds))
        if self.holder is not None and self.claim().state is not ClaimState.HELD:
            self.holder = None

    @rule()
    def take_back(self) -> None:
        done = self.run(self.hub.service.messages.cancel(self.id, USER))
        results = {each.agent_id: each.result for each in done.deliveries}
        assert {name for name in AGENTS if results[name] == "on_its_way"} == set(self.open_attempts)
        if self.claim().state is not ClaimState.HELD:
            assert self.claim().state is not ClaimState.OPEN
            self.holder = None

    def claim(self):
        return self.run(self.hub.service.store.read(lambda reads: reads.claim(self.id)))

    @invariant()
    def the_store_agrees(self) -> None:
        claim = self.claim()
        assert claim.token >= max(self.tokens)
        assert (claim.agent_id if claim.state is ClaimState.HELD else None) == self.holder
        view = self.run(self.hub.service.messages.one(self.id, USER))
        leased = [each.agent_id for each in view.deliveries if each.state is DeliveryState.LEASED]
        assert leased in ([], [self.holder])
        for name, injected in self.injected.items():
            mine = [each for each in view.deliveries if each.agent_id == name]
            shown = [each for each in mine if (each.state, each.reason) == ("delivered", None)]
            assert len(shown) == injected, "once in the session for each delivery"
            assert len([each for each in mine if each.retried_as is None]) == 1

    @invariant()
    def every_change_of_hands_is_on_record(self) -> None:
        steps = self.run(self.hub.service.store.read(lambda reads: reads.hand_overs(self.id)))
        tokens = [step.token for step in steps]
        assert tokens == sorted(set(tokens))
        taken = [step.agent_id for step in steps if step.event is ClaimEvent.TAKEN]
        assert self.holder is None or (taken[-1], steps[-1].event) == (self.holder, "taken")
        ends = [step for step in steps if step.event in {"completed", "failed", "dead"}]
        assert len(ends) <= 1
        assert ends in ([], list(steps[-1:]))

    @invariant()
    def open_work_is_offered_to_somebody(self) -> None:
        if self.claim().state is not ClaimState.OPEN:
            return
        view = self.run(self.hub.service.messages.one(self.id, USER))
        stuck = [
            each
            for each in view.deliveries
            if each.state is DeliveryState.SKIPPED and each.reason == "claimed_by_other"
        ]
        assert not stuck
        if any(each.state not in FINAL for each in view.deliveries):
            return
        steps = self.run(self.hub.service.store.read(lambda reads: reads.hand_overs(self.id)))
        last = {step.agent_id: step.event for step in steps}
        assert ClaimEvent.LAPSED not in last.values(), "lost by its holders, and offered to nobody"

    def teardown(self) -> None:
        self.run(self.hub.close())
        self.loop.close()


TestClaims = Claims.TestCase
TestClaims.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
