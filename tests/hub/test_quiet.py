"""An agent's quiet at the hub: who sets it, what it keeps, and what its end does."""

import pytest

from hub_kit import Hub, agent_caller, as_body
from relay_core.errors import HubRefused
from relay_core.hub_api import AgentPatch, OfferList, VerdictRequest
from relay_core.messages import AgentId, Delivery, DeliveryId, DeliveryState
from relay_core.sessions import Agent
from relay_hub.callers import USER, Caller

A = AgentId("a")
MINUTE_MS = 60_000


async def set_quiet(hub: Hub, until_ms: int, caller: Caller = USER) -> Agent:
    return await hub.service.agents.change(A, AgentPatch(quiet_until=until_ms), caller)


async def listed(hub: Hub) -> OfferList:
    return await hub.service.deliveries.offers(A, USER)


async def held(hub: Hub, reason: str = "quiet", until_ms: int | None = None) -> DeliveryId:
    """A message for the agent that its host holds."""
    sent = await hub.send("a")
    body = {"state": "held", "reason": reason, "until": until_ms}
    verdict = as_body(VerdictRequest, {**body, "agentId": "a", "epoch": hub.epochs["a"]})
    await hub.service.deliveries.give_verdict(sent.deliveries[0].id, verdict, USER)
    return sent.deliveries[0].id


async def row(hub: Hub, delivery_id: DeliveryId) -> Delivery:
    return next(
        each.delivery for each in (await listed(hub)).offers if each.delivery.id == delivery_id
    )


async def test_a_quiet_is_shown_until_it_is_over_and_told_to_the_host_after_that(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + MINUTE_MS
    changed = await set_quiet(hub, end)
    (shown,) = await hub.service.agents.all(USER)
    during = await listed(hub)
    await hub.wait(60)
    after = await listed(hub)

    assert (changed.quiet_until_ms, shown.quiet_until_ms) == (end, end)
    assert (during.quiet_until_ms, after.quiet_until_ms) == (end, end)
    assert (await hub.service.agents.one(A, USER)).quiet_until_ms is None


async def test_an_agent_that_was_never_quiet_has_no_end_of_it(hub: Hub):
    await hub.register("a")
    await set_quiet(hub, 0)

    assert (await listed(hub)).quiet_until_ms is None


async def test_ending_a_quiet_says_when_it_ended_and_ending_it_again_changes_nothing(hub: Hub):
    await hub.register("a")
    await set_quiet(hub, hub.clock.now_ms() + MINUTE_MS)
    await hub.wait(10)
    ended = hub.clock.now_ms()
    shown = await set_quiet(hub, 0)
    await hub.wait(10)
    await set_quiet(hub, 0)

    assert shown.quiet_until_ms is None
    assert (await listed(hub)).quiet_until_ms == ended


async def test_a_quiet_survives_registering_again_and_other_changes(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + MINUTE_MS
    await set_quiet(hub, end)
    await hub.service.agents.change(A, AgentPatch(label="x"), USER)
    again = await hub.register("a")

    assert (again.quiet_until_ms, again.epoch) == (end, 2)
    assert (await listed(hub)).quiet_until_ms == end


async def test_a_deleted_agent_is_not_quiet_when_it_comes_back(hub: Hub):
    await hub.register("a")
    await set_quiet(hub, hub.clock.now_ms() + MINUTE_MS)
    await hub.service.agents.remove(A, USER)
    await hub.register("a")

    assert (await listed(hub)).quiet_until_ms is None


async def test_no_agent_sets_its_quiet_and_none_that_of_another(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + MINUTE_MS
    codes = []
    for caller in (agent_caller("a"), agent_caller("b")):
        for until in (end, 0):
            with pytest.raises(HubRefused) as refused:
                await set_quiet(hub, until, caller)
            codes.append((refused.value.status, refused.value.code))

    assert codes == [(403, "user_only")] * 2 + [(403, "foreign_agent")] * 2
    assert (await listed(hub)).quiet_until_ms is None


@pytest.mark.parametrize("off_ms", [0, -1, -10 * MINUTE_MS, 400 * 24 * 60 * MINUTE_MS])
async def test_an_end_that_is_past_or_years_away_is_refused(hub: Hub, off_ms: int):
    await hub.register("a")

    with pytest.raises(HubRefused) as refused:
        await set_quiet(hub, hub.clock.now_ms() + off_ms)

    assert (refused.value.status, refused.value.code) == (422, "bad_quiet")
    assert refused.value.fix is not None


async def test_the_end_of_a_quiet_releases_what_it_held_at_once_and_nothing_else(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + MINUTE_MS
    await set_quiet(hub, end)
    quiet = await held(hub, until_ms=end)
    asking = await held(hub, "needs_yes")
    await set_quiet(hub, 0)

    assert (await row(hub, quiet)).state is DeliveryState.QUEUED
    assert (await row(hub, asking)).state is DeliveryState.HELD


@pytest.mark.parametrize("minutes", [2, 10])
async def test_another_end_is_the_end_of_what_is_held_as_well(hub: Hub, minutes: int):
    await hub.register("a")
    first, end = (hub.clock.now_ms() + each * MINUTE_MS for each in (5, minutes))
    await set_quiet(hub, first)
    quiet = await held(hub, until_ms=first)
    await set_quiet(hub, end)
    await hub.wait(minutes * 60 - 1)
    before = await row(hub, quiet)
    await hub.wait(1)

    assert (before.state, before.reason, before.held_until_ms) == (
        DeliveryState.HELD,
        "quiet",
        end,
    )
    assert (await row(hub, quiet)).state is DeliveryState.QUEUED


async def test_the_host_hears_of_a_quiet_although_there_is_no_mail(hub: Hub):
    from relay_core.hub_api import MailFrame, Served

    agent = await hub.register("a")
    frames = []
    subscription = hub.service.listening.open(USER, frames.append)
    served = Served(id=A, instance_id="a-1", epoch=agent.epoch)
    await hub.service.listening.serve(subscription, (served,))
    frames.clear()
    await set_quiet(hub, hub.clock.now_ms() + MINUTE_MS)

    assert [frame.agent_id for frame in frames if isinstance(frame, MailFrame)] == ["a"]


async def test_a_hold_that_comes_after_the_quiet_has_ended_is_over_in_a_moment(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + MINUTE_MS
    await set_quiet(hub, end)
    await hub.wait(5)
    await set_quiet(hub, 0)

    late = await held(hub, until_ms=end)
    await hub.wait(2)
    assert (await row(hub, late)).state is DeliveryState.QUEUED


async def test_a_hold_that_comes_after_the_quiet_was_shortened_ends_with_it(hub: Hub):
    await hub.register("a")
    end = hub.clock.now_ms() + 10 * MINUTE_MS
    await set_quiet(hub, end)
    await set_quiet(hub, end - 5 * MINUTE_MS)

    late = await held(hub, until_ms=end)
    assert (await row(hub, late)).held_until_ms == end - 5 * MINUTE_MS


async def test_what_others_call_quiet_is_held_as_long_as_they_say(hub: Hub):
    await hub.register("a")
    await set_quiet(hub, hub.clock.now_ms() + MINUTE_MS)
    await hub.wait(180)

    end = hub.clock.now_ms() + MINUTE_MS
    assert (await row(hub, await held(hub, until_ms=end))).held_until_ms == end
