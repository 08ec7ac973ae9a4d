"""One agent at a time does the work of a claimable message, and never two."""

from pathlib import Path

import msgspec
import pytest

from hub_kit import Hub, served_hub
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import ClaimRequest, Fence, RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, ClaimState, DeliveryState, MessageId
from relay_hub.callers import USER
from relay_hub.local import LocalHub

S = DeliveryState


async def refused(call) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await call
    return caught.value


class Work:
    """A claimable message for `a` and `b`, and the calls about it."""

    def __init__(self, hub: Hub, message_id: int) -> None:
        self.hub = hub
        self.id = MessageId(message_id)

    def call(self, name: str, verb: str, **fields: object):
        return self.hub.claim(verb, self.id, name, **fields)

    async def states(self) -> dict[str, str]:
        view = await self.hub.service.messages.one(self.id, USER)
        return {each.agent_id: each.state for each in view.deliveries}

    async def delivery_id(self, name: str) -> int:
        return (await self.hub.delivery(self.id, name)).id

    async def inject(self, name: str):
        return await self.hub.inject(name, await self.delivery_id(name))


@pytest.fixture
async def work(hub: Hub) -> Work:
    await hub.register("a", tags=["t"])
    await hub.register("b", tags=["t"])
    return Work(hub, (await hub.send("tag:t", "do it", claimable=True)).id)


async def test_the_first_to_claim_has_it_and_the_others_are_skipped(work: Work):
    claim = await work.call("a", "take")
    error = await refused(work.call("b", "take"))
    message = await work.hub.service.messages.one(work.id, USER)

    assert (claim.state, claim.agent_id, claim.token) == (ClaimState.HELD, "a", 1)
    assert claim.until_ms == work.hub.clock.ms + 60_000
    assert (error.status, error.code) == (409, "claim_held")
    assert await work.states() == {"a": "leased", "b": "skipped"}
    assert (message.claimed_by, message.claim_expires_at) == ("a", claim.until_ms)


async def test_the_token_only_grows(work: Work):
    tokens = [(await work.call("a", verb)).token for verb in ("take", "renew", "take", "complete")]

    assert tokens == [1, 2, 3, 4]


async def test_an_injection_needs_the_claim(work: Work):
    error = await refused(work.inject("a"))
    await work.call("a", "take")
    await work.inject("a")

    assert (error.status, error.code) == (409, "stale_claim")
    assert error.delivery_ids == (await work.delivery_id("a"),)
    assert (await work.states())["a"] == "injecting"


async def test_a_lost_claim_is_named_and_the_rest_of_the_batch_is_not_recorded(work: Work):
    other = await work.hub.send("a")
    ids = [await work.delivery_id("a"), other.deliveries[0].id]

    error = await refused(work.hub.inject("a", *ids))
    await work.hub.inject("a", ids[1])

    assert (error.code, error.delivery_ids) == ("stale_claim", (ids[0],))


async def test_a_claim_that_is_renewed_lasts(work: Work):
    await work.call("a", "take")
    for _ in range(6):
        await work.hub.wait(20)
        await work.call("a", "renew")

    assert await work.states() == {"a": "leased", "b": "skipped"}


async def test_a_lapsed_claim_is_offered_to_all_again(work: Work):
    await work.call("a", "take")
    await work.hub.wait(59)
    before = await work.states()
    await work.hub.wait(1)
    after = await work.states()
    renewing = await refused(work.call("a", "renew"))
    claim = await work.call("b", "take")

    assert before == {"a": "leased", "b": "skipped"}
    assert after == {"a": "queued", "b": "queued"}
    assert (renewing.status, renewing.code) == (409, "stale_claim")
    assert (claim.agent_id, claim.lapses) == ("b", 1)


async def test_a_lapsed_claim_is_not_offered_to_an_agent_that_is_deleted(work: Work):
    await work.call("a", "take")
    await work.hub.service.agents.remove(AgentId("b"), USER)
    await work.hub.wait(61)

    assert await work.states() == {"a": S.QUEUED, "b": S.SKIPPED}


async def test_a_claim_that_lapsed_too_often_is_dead(work: Work):
    for name in ("a", "b", "a"):
        await work.call(name, "take")
        await work.hub.wait(60)

    error = await refused(work.call("b", "take"))
    delivery = await work.hub.delivery(work.id, "a")
    assert (error.status, error.code) == (409, "claim_held")
    assert (delivery.state, delivery.reason) == (S.DEAD, "claim_lapsed")


async def test_work_that_was_injected_and_then_dropped_is_done_by_another(work: Work):
    await work.call("a", "take")
    await work.inject("a")
    await work.hub.resolve("a", "a1", "delivered")
    await work.hub.wait(60)

    assert await work.states() == {"a": "delivered", "b": "queued"}


async def test_a_polling_client_that_marked_it_as_read_has_done_it(work: Work):
    await work.call("a", "take")
    await work.hub.service.messages.mark_read(work.id, "a", USER)
    await work.hub.wait(60)
    error = await refused(work.call("b", "take"))

    assert await work.states() == {"a": "delivered", "b": "skipped"}
    assert "done" in error.detail


async def test_what_comes_back_from_doubt_without_its_claim_is_not_leased(work: Work):
    await work.call("a", "take")
    await work.inject("a")
    await work.hub.wait(60)
    await work.call("b", "take")
    await work.hub.resolve("a", "a1", "absent")

    delivery = await work.hub.delivery(work.id, "a")
    assert (delivery.state, delivery.reason) == (S.SKIPPED, "claimed_by_other")


async def test_what_comes_back_from_doubt_is_queued_when_the_claim_is_open(work: Work):
    await work.call("a", "take")
    await work.inject("a")
    await work.hub.wait(60)
    await work.hub.resolve("a", "a1", "absent")

    assert await work.states() == {"a": "queued", "b": "queued"}


async def test_what_comes_back_from_doubt_with_its_claim_is_leased(work: Work):
    await work.call("a", "take")
    await work.inject("a")
    await work.hub.resolve("a", "a1", "absent")

    assert (await work.states())["a"] == "leased"


@pytest.mark.parametrize(("verb", "state"), [("complete", "done"), ("fail", "failed")])
async def test_ended_work_is_offered_to_nobody(work: Work, verb, state):
    await work.call("a", "take")
    ended = [await work.call("a", verb, result="it works") for _ in range(2)]
    error = await refused(work.call("b", "take"))
    await work.hub.wait(120)

    assert [(each.state, each.token, each.result) for each in ended] == [(state, 2, "it works")] * 2
    assert state in error.detail
    assert await work.states() == {"a": "delivered", "b": "skipped"}


async def test_released_work_goes_to_the_others_and_not_back(work: Work):
    await work.call("a", "take")
    await work.call("a", "release")

    assert await work.states() == {"a": "skipped", "b": "queued"}
    assert (await work.hub.delivery(work.id, "a")).reason == "released"
    await work.call("b", "take")


@pytest.mark.parametrize("verb", ["renew", "complete", "fail", "release"])
async def test_an_old_token_and_a_stranger_are_refused(work: Work, verb):
    await work.call("a", "take")
    await work.call("a", "renew")

    codes = [
        (await refused(work.call(name, verb, **fields))).code
        for name, fields in (("a", {"token": 1}), ("b", {}), ("b", {"token": 2}))
    ]
    await work.call("a", verb, token=2)

    assert codes == ["stale_claim"] * 3


async def test_claims_need_the_newest_epoch(work: Work):
    with pytest.raises(StaleEpoch):
        await work.call("a", "take", epoch=9)
    error = await refused(work.call("a", "take", epoch=None))

    assert (error.status, error.code) == (428, "epoch_required")


async def test_what_is_not_claimable_or_was_not_sent_to_one_is_refused(work: Work):
    plain = Work(work.hub, (await work.hub.send("a")).id)
    nothing = Work(work.hub, 99)
    await work.hub.register("c")

    errors = [
        await refused(plain.call("a", "take")),
        await refused(nothing.call("a", "take")),
        await refused(work.call("c", "take")),
    ]

    assert [(each.status, each.code) for each in errors] == [
        (400, "not_claimable"),
        (404, "unknown_message"),
        (403, "not_a_recipient"),
    ]


async def test_a_holder_that_skips_the_message_gives_the_claim_back(work: Work):
    from relay_core.hub_api import VerdictRequest

    await work.call("a", "take")
    body = VerdictRequest(state=S.SKIPPED, reason="channel", agent_id="a", epoch=1)
    await work.hub.service.deliveries.give_verdict(await work.delivery_id("a"), body, USER)

    assert await work.states() == {"a": "skipped", "b": "queued"}
    assert (await work.call("b", "take")).token == 3


async def test_an_agent_that_registers_again_may_claim_its_own_work_again(work: Work):
    await work.call("a", "take")
    await work.hub.register("a", tags=["t"])
    claim = await work.call("a", "take")

    assert (claim.agent_id, claim.token) == ("a", 2)


async def test_a_clock_that_jumps_starts_every_lease_anew(work: Work):
    await work.call("a", "take")
    work.hub.clock.wall_offset_ms = 3_600_000
    await work.hub.wait(1)
    after_jump = await work.states()
    await work.hub.wait(60)

    assert after_jump == {"a": "leased", "b": "skipped"}
    assert await work.states() == {"a": "queued", "b": "queued"}


async def test_a_restart_of_the_hub_starts_every_lease_anew(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from hub_kit import file_hub

    with ThreadPoolExecutor(1) as writer:
        hub = await file_hub(tmp_path / "hub.sqlite", writer)
        await hub.register("a")
        work = Work(hub, (await hub.send("a", claimable=True)).id)
        await work.call("a", "take")
        await hub.close()
        hub.clock.ms += 300_000
        again = await file_hub(tmp_path / "hub.sqlite", writer, hub.clock)
        again.epochs = hub.epochs
        await again.wait(59)
        renewed = await Work(again, work.id).call("a", "renew")
        await again.close()

    assert renewed.state is ClaimState.HELD


async def test_an_agent_that_registers_again_still_holds_its_claims_and_can_renew_them(work: Work):
    await work.call("a", "take")
    ended = (await work.hub.send("tag:t", claimable=True)).id
    await work.hub.service.claims.take(MessageId(ended), work.hub.claiming("a"), USER)
    await work.hub.service.claims.complete(MessageId(ended), work.hub.claiming("a"), USER)
    await work.hub.register("a", tags=["t"])
    hub = LocalHub(work.hub.service)

    fence = Fence(agent_id=AgentId("a"), epoch=work.hub.epochs["a"])
    (held,) = await hub.claims(fence)
    renewed = await work.call("a", "renew", token=held.token)

    assert (held.message_id, held.state, held.agent_id) == (work.id, ClaimState.HELD, "a")
    assert renewed.token == held.token + 1
    assert await hub.claims(Fence(agent_id=AgentId("b"))) == ()


async def test_an_instance_that_was_taken_over_is_not_told_of_the_claims(work: Work):
    hub = LocalHub(work.hub.service)
    former = Fence(agent_id=AgentId("a"), epoch=work.hub.epochs["a"])
    await work.hub.register("a", tags=["t"])

    with pytest.raises(StaleEpoch):
        await hub.claims(former)


async def test_claims_are_fetched_over_the_wire(tmp_path: Path):
    async with served_hub(tmp_path) as served, HubClient(served.url, served.token) as client:
        agent = await client.register(RegisterRequest(id=AgentId("a"), instance_id="a 1&2"))
        fence = Fence(agent_id=agent.id, instance_id="a 1&2", epoch=agent.epoch)
        sent = await client.send(SendRequest(to="a", body="do it", claimable=True))
        taken = await client.claim(
            sent.id, ClaimRequest(agent_id=agent.id, instance_id="a 1&2", epoch=agent.epoch)
        )
        found = await client.claims(fence)
        error = await refused(client.claims(msgspec.structs.replace(fence, epoch=9)))
        unfenced = await client.claims(Fence(agent_id=agent.id))

    assert found == unfenced == (taken,)
    assert error.code == "stale_epoch"
