"""Taking a message back: what it does to each delivery, and who may."""

from collections.abc import Awaitable

import pytest

from hub_kit import Hub, agent_caller
from relay_core.errors import HubRefused
from relay_core.messages import ClaimState, DeliveryState, MessageId
from relay_hub.callers import USER, Caller

S = DeliveryState


@pytest.fixture
async def crew(hub: Hub) -> Hub:
    for name in ("a", "b", "c", "d"):
        await hub.register(name, tags=["crew"])
    return hub


async def cancel(hub: Hub, message_id: int, caller: Caller = USER) -> dict[str, tuple[str, str]]:
    done = await hub.service.messages.cancel(MessageId(message_id), caller)
    return {each.agent_id: (each.result, each.state) for each in done.deliveries}


async def refused(work: Awaitable[object]) -> HubRefused:
    with pytest.raises(HubRefused) as error:
        await work
    return error.value


async def test_what_waits_is_cancelled_and_offered_no_longer(crew: Hub):
    sent = await crew.send("b", sender="a")

    assert await cancel(crew, sent.id) == {"b": ("cancelled", "cancelled")}
    assert await crew.offers("b") == ()


async def test_each_delivery_is_told_of_by_itself(crew: Hub):
    sent = await crew.send("tag:crew", sender="a")
    own = {each.agent_id: each.id for each in sent.deliveries}
    done = await crew.inject("b", own["b"])
    await crew.resolve("b", done.id, "delivered")
    await crew.inject("c", own["c"])

    assert await cancel(crew, sent.id) == {
        "b": ("over", "delivered"),
        "c": ("on_its_way", "injecting"),
        "d": ("cancelled", "cancelled"),
    }


async def test_what_was_on_its_way_can_be_cancelled_once_it_is_known_not_to_be_there(crew: Hub):
    sent = await crew.send("b", sender="a")
    attempt = await crew.inject("b", sent.deliveries[0].id)
    too_early = await cancel(crew, sent.id)
    await crew.resolve("b", attempt.id, "absent")

    assert too_early == {"b": ("on_its_way", "injecting")}
    assert await cancel(crew, sent.id) == {"b": ("cancelled", "cancelled")}


async def test_again_is_harmless(crew: Hub):
    sent = await crew.send("b", sender="a")
    await cancel(crew, sent.id)

    assert await cancel(crew, sent.id) == {"b": ("over", "cancelled")}


async def test_an_attempt_at_what_was_cancelled_is_refused(crew: Hub):
    sent = await crew.send("b", sender="a")
    await cancel(crew, sent.id)
    error = await refused(crew.inject("b", sent.deliveries[0].id))

    assert (error.status, error.code) == (409, "not_waiting")


async def test_work_that_was_claimed_but_not_begun_is_offered_to_nobody_else(crew: Hub):
    sent = await crew.send("tag:crew", sender="a", claimable=True)
    await crew.service.claims.take(sent.id, crew.claiming("b"), USER)
    done = await cancel(crew, sent.id)
    late = await refused(crew.service.claims.take(sent.id, crew.claiming("c"), USER))
    claim = await crew.service.store.read(lambda reads: reads.claim(sent.id))

    assert done == dict.fromkeys(("b", "c", "d"), ("cancelled", "cancelled"))
    assert [await crew.offers(name) for name in ("b", "c", "d")] == [(), (), ()]
    assert (late.status, late.code) == (409, "claim_held")
    assert claim is not None
    assert claim.state is ClaimState.DEAD


async def test_whoever_is_at_the_work_may_finish_it_and_nobody_takes_it_over(crew: Hub):
    sent = await crew.send("tag:crew", sender="a", claimable=True)
    own = next(each.id for each in sent.deliveries if each.agent_id == "b")
    await crew.service.claims.take(sent.id, crew.claiming("b"), USER)
    attempt = await crew.inject("b", own)
    await crew.resolve("b", attempt.id, "delivered")
    done = await cancel(crew, sent.id)
    await crew.service.claims.renew(sent.id, crew.claiming("b"), USER)
    await crew.wait(61)

    assert done["b"] == ("over", "delivered")
    assert done["c"] == done["d"] == ("cancelled", "cancelled")
    assert [await crew.offers(name) for name in ("c", "d")] == [(), ()]


@pytest.mark.parametrize("caller", [USER, agent_caller("a")], ids=["user", "sender"])
async def test_the_sender_and_the_user_take_back(crew: Hub, caller: Caller):
    sent = await crew.send("b", sender="a")

    assert await cancel(crew, sent.id, caller) == {"b": ("cancelled", "cancelled")}


@pytest.mark.parametrize(
    ("name", "status", "code"), [("b", 403, "not_the_sender"), ("c", 404, "unknown_message")]
)
async def test_nobody_else_takes_back(crew: Hub, name: str, status: int, code: str):
    sent = await crew.send("b", sender="a")
    error = await refused(cancel(crew, sent.id, agent_caller(name)))

    assert (error.status, error.code) == (status, code)
    assert (await crew.delivery(sent.id, "b")).state is S.QUEUED


async def test_what_was_never_sent_cannot_be_taken_back(crew: Hub):
    assert (await refused(cancel(crew, 9_999))).code == "unknown_message"
