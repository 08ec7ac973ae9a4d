"""Attempts, their outcomes, verdicts, and what time does to a delivery."""

import msgspec
import pytest

from hub_kit import Hub, agent_caller, as_body, served_hub
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import (
    AnnotateRequest,
    Fence,
    ReceiptFrame,
    RegisterRequest,
    SendRequest,
    Served,
    TurnReport,
    VerdictRequest,
)
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, AttemptId, DeliveryId, DeliveryState, MessageId, TurnStatus
from relay_core.retry import MAX_ATTEMPTS
from relay_hub.callers import USER
from relay_hub.local import LocalHub

A = AgentId("a")
LATEST = MessageId(1 << 53)
S = DeliveryState


async def refused(call) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await call
    return caught.value


@pytest.fixture
async def sent(hub: Hub) -> list[int]:
    """Three messages for `a`; the ids of their deliveries, which are the messages' ids too."""
    await hub.register("a")
    return [(await hub.send("a", str(number))).deliveries[0].id for number in range(3)]


def verdict(hub: Hub, delivery_id: int, state: str, **fields: object):
    body = VerdictRequest(state=S(state), agent_id=A, epoch=hub.epochs["a"], **fields)
    return hub.service.deliveries.give_verdict(DeliveryId(delivery_id), body, USER)


async def states(hub: Hub) -> list[str]:
    found = await hub.service.deliveries.history(A, tuple(S), LATEST, 100, USER)
    return [each.delivery.state for each in found.offers]


async def test_an_attempt_carries_several_deliveries_and_resolves_them_together(hub: Hub, sent):
    attempt = await hub.inject("a", *sent)
    during = await states(hub)
    await hub.resolve("a", attempt.id, "delivered", turnId="t")

    assert (attempt.delivery_ids, attempt.thread_id, attempt.epoch) == (tuple(sent), "thread", 1)
    assert during == ["injecting"] * 3
    assert await states(hub) == ["delivered"] * 3
    assert (await hub.delivery(1, "a")).turn_id == "t"


async def test_recording_the_same_attempt_again_answers_the_same(hub: Hub, sent):
    first = await hub.inject("a", sent[0])
    hub._attempts = 0
    again = await hub.inject("a", sent[0])
    hub._attempts = 0
    error = await refused(hub.inject("a", sent[1]))

    assert again.started_ms == first.started_ms
    assert (error.status, error.code) == (409, "attempt_exists")


async def test_a_delivery_is_in_one_open_attempt_at_most(hub: Hub, sent):
    await hub.inject("a", sent[0])

    error = await refused(hub.inject("a", *sent))

    assert (error.status, error.code, error.delivery_ids) == (409, "attempt_open", (sent[0],))
    assert await states(hub) == ["injecting", "queued", "queued"]


async def test_what_is_no_longer_waiting_is_named_and_nothing_is_recorded(hub: Hub, sent):
    await verdict(hub, sent[1], "skipped", reason="channel")

    error = await refused(hub.inject("a", *sent))

    assert (error.status, error.code, error.delivery_ids) == (409, "not_waiting", (sent[1],))
    assert await states(hub) == ["queued", "skipped", "queued"]


async def test_an_attempt_is_for_ones_own_deliveries(hub: Hub, sent):
    await hub.register("b")

    error = await refused(hub.inject("b", sent[0]))

    assert (error.status, error.code) == (404, "unknown_delivery")


async def test_a_fenced_instance_records_and_resolves_nothing(hub: Hub, sent):
    await hub.inject("a", sent[0])
    await hub.register("a")

    with pytest.raises(StaleEpoch):
        await hub.inject("a", sent[1], epoch=1)
    with pytest.raises(StaleEpoch):
        await hub.resolve("a", "a1", "delivered", epoch=1)
    with pytest.raises(StaleEpoch):
        await verdict_as(hub, sent[1], 1)

    assert await states(hub) == ["uncertain", "queued", "queued"]


def verdict_as(hub: Hub, delivery_id: int, epoch: int):
    body = VerdictRequest(state=S.SKIPPED, agent_id=A, epoch=epoch)
    return hub.service.deliveries.give_verdict(DeliveryId(delivery_id), body, USER)


async def test_resolving_twice_is_harmless_whatever_the_second_says(hub: Hub, sent):
    await hub.inject("a", sent[0])
    await hub.resolve("a", "a1", "absent")
    await hub.inject("a", sent[0])
    await hub.resolve("a", "a1", "delivered")

    assert (await states(hub))[0] == "injecting"
    await hub.resolve("a", "a2", "delivered")
    await hub.resolve("a", "a2", "absent")
    assert (await states(hub))[0] == "delivered"


async def test_absent_is_offered_again_and_counts_no_attempt(hub: Hub, sent):
    await hub.inject("a", sent[0])
    await hub.resolve("a", "a1", "absent", reason="steer_lost")

    delivery = await hub.delivery(1, "a")
    assert (delivery.state, delivery.reason, delivery.attempts) == (S.QUEUED, "steer_lost", 0)


async def test_a_message_that_an_agent_crashed_on_twice_is_poison(hub: Hub, sent):
    for attempt in ("a1", "a2"):
        await hub.inject("a", sent[0])
        await hub.resolve("a", attempt, "absent", crashed=True)

    delivery = await hub.delivery(1, "a")
    assert (delivery.state, delivery.reason) == (S.DEAD, "poison")


async def test_a_refused_input_is_tried_again_later_and_is_dead_in_the_end(hub: Hub, sent):
    waits = []
    for number in range(MAX_ATTEMPTS):
        await hub.inject("a", sent[0])
        await hub.resolve("a", f"a{number + 1}", "failed", reason="refused")
        delivery = await hub.delivery(1, "a")
        waits.append(max(0, delivery.not_before_ms - hub.clock.ms))

    assert (delivery.state, delivery.reason, delivery.attempts) == (S.DEAD, "refused", 5)
    assert all(wait >= 1_000 for wait in waits[:-1])


async def test_an_input_that_would_be_refused_again_is_dead_at_once(hub: Hub, sent):
    await hub.inject("a", sent[0])
    await hub.resolve("a", "a1", "failed", reason="too_large", permanent=True)

    assert (await hub.delivery(1, "a")).reason == "too_large"


async def test_an_outcome_that_is_none_is_refused(hub: Hub, sent):
    await hub.inject("a", sent[0])

    bad = await refused(hub.resolve("a", "a1", "maybe"))
    unknown = await refused(hub.resolve("a", "a9", "absent"))

    assert (bad.status, bad.code) == (422, "bad_outcome")
    assert (unknown.status, unknown.code) == (404, "unknown_attempt")


async def test_nothing_expires_while_it_is_in_doubt(hub: Hub):
    await hub.register("a")
    sent = await hub.send("a", ttlMs=1_000)
    await hub.inject("a", sent.deliveries[0].id)
    await hub.wait(10)
    during = (await hub.delivery(sent.id, "a")).state
    await hub.resolve("a", "a1", "absent")
    await hub.wait(1)

    assert during is S.INJECTING
    assert (await hub.delivery(sent.id, "a")).state is S.EXPIRED


async def test_the_end_of_a_turn_is_a_fact_of_its_own(hub: Hub, sent):
    frames = []
    hub.service.listening.open(USER, frames.append)
    await hub.inject("a", sent[0], sent[1])
    await hub.resolve("a", "a1", "delivered", turnId="t")
    report = TurnReport(turn_id="t", status=TurnStatus.COMPLETED, final_text="done", epoch=1)
    for _ in range(2):
        await hub.service.deliveries.report_turn(AttemptId("a1"), report, USER)

    delivery = await hub.delivery(1, "a")
    assert (delivery.state, delivery.turn_status) == (S.DELIVERED, TurnStatus.COMPLETED)
    assert [frame.delivery_id for frame in frames] == [1, 2, 1, 2]


async def test_a_hold_ends_at_its_time_and_not_before(hub: Hub, sent):
    await verdict(hub, sent[0], "held", reason="night", until=hub.clock.ms + 5_000)
    await hub.wait(4)
    before = await hub.delivery(1, "a")
    await hub.wait(1)

    assert (before.state, before.reason) == (S.HELD, "night")
    assert (await hub.delivery(1, "a")).state is S.QUEUED


async def test_a_hold_without_an_end_is_ended_by_a_verdict(hub: Hub, sent):
    await verdict(hub, sent[0], "held", reason="ask")
    await hub.wait(3_600)
    before = (await hub.delivery(1, "a")).state
    for _ in range(2):
        await verdict(hub, sent[0], "queued")

    assert before is S.HELD
    assert (await hub.delivery(1, "a")).reason == "released"


async def test_a_person_releases_without_an_epoch_and_an_agent_does_not(hub: Hub, sent):
    await verdict(hub, sent[0], "held")
    release = VerdictRequest(state=S.QUEUED)

    error = await refused(
        hub.service.deliveries.give_verdict(
            DeliveryId(sent[0]), VerdictRequest(state=S.QUEUED, agent_id=A), USER
        )
    )
    await hub.service.deliveries.give_verdict(DeliveryId(sent[0]), release, USER)

    assert (error.status, error.code) == (428, "epoch_required")


@pytest.mark.parametrize(
    ("state", "fields", "code"),
    [
        ("delivered", {}, "bad_verdict"),
        ("dead", {}, "bad_verdict"),
        ("held", {"until": 5}, "bad_until"),
        ("held", {"reason": "a\nb"}, "bad_text"),
    ],
)
async def test_a_verdict_that_is_none_is_refused(hub: Hub, sent, state, fields, code):
    error = await refused(verdict(hub, sent[0], state, **fields))

    assert (error.status, error.code) == (422, code)


async def test_what_is_being_injected_cannot_be_held(hub: Hub, sent):
    await hub.inject("a", sent[0])

    error = await refused(verdict(hub, sent[0], "held"))

    assert (error.status, error.code, error.delivery_ids) == (409, "illegal_transition", (1,))


def annotate(hub: Hub, delivery_id: int, caller=USER, **fields: object):
    request = as_body(AnnotateRequest, fields)
    return hub.service.deliveries.annotate(DeliveryId(delivery_id), request, caller)


async def test_annotations_come_with_the_offer(hub: Hub, sent):
    await annotate(hub, sent[0], annotations={"lang": "fr", "n": 1})
    await annotate(hub, sent[0], annotations={"n": None})

    offers = await hub.offers("a")
    assert {key: bytes(value) for key, value in offers[0].annotations.items()} == {"lang": b'"fr"'}
    assert offers[1].annotations == {}


async def test_an_annotation_is_bounded(hub: Hub, sent):
    error = await refused(annotate(hub, sent[0], annotations={"k": "x" * 17_000}))
    missing = await refused(annotate(hub, 99, annotations={}))
    nameless = await refused(annotate(hub, sent[0], annotations={" ": 1}))

    assert error.code == "meta_too_large"
    assert missing.code == "unknown_delivery"
    assert nameless.code == "bad_annotation"


async def test_an_agent_annotates_with_its_newest_epoch_alone(hub: Hub, sent):
    await hub.register("a")
    own, by_a = agent_caller("a"), {"agentId": "a", "annotations": {"k": 1}}

    stale = await refused(annotate(hub, sent[0], **by_a, epoch=1))
    missing = await refused(annotate(hub, sent[0], **by_a))
    tokens = await refused(annotate(hub, sent[0], own, annotations={"k": 1}))
    foreign = await refused(annotate(hub, sent[0], agentId="b", annotations={}))
    before = (await hub.offers("a"))[0].annotations
    await annotate(hub, sent[0], own, **by_a, epoch=2)
    after = (await hub.offers("a"))[0].annotations

    codes = [each.code for each in (stale, missing, tokens, foreign)]
    assert codes == ["stale_epoch", "epoch_required", "epoch_required", "foreign_agent"]
    assert (before, list(after)) == ({}, ["k"])


async def test_a_host_annotates_with_its_fence_with_and_without_a_wire(hub: Hub, sent, tmp_path):
    async with served_hub(tmp_path) as served, HubClient(served.url, served.token) as client:
        agent = await client.register(RegisterRequest(id=A))
        other = await client.send(SendRequest(to="a", body="hello"))
        for asked, delivery_id in (
            (client, other.deliveries[0].id),
            (LocalHub(hub.service), DeliveryId(sent[0])),
        ):
            fence = Fence(agent_id=A, epoch=agent.epoch)
            await asked.annotate(delivery_id, fence, {"k": msgspec.Raw(b"[1]")})
            with pytest.raises(StaleEpoch):
                await asked.annotate(delivery_id, Fence(agent_id=A, epoch=9), {})
            assert bytes((await asked.offers(fence)).offers[0].annotations["k"]) == b"[1]"


async def test_hosts_are_told_when_there_is_something_to_fetch(hub: Hub):
    agent = await hub.register("a")
    frames = []
    stream = hub.service.listening.open(USER, frames.append)
    await hub.service.listening.serve(stream, [Served(id=A, instance_id="x", epoch=agent.epoch)])
    quiet = list(frames)
    sent = await hub.send("a")
    await hub.inject("a", sent.deliveries[0].id)
    await hub.resolve("a", "a1", "failed")
    mail = [frame.up_to for frame in frames if not isinstance(frame, ReceiptFrame)]
    await hub.wait(4)
    later = [frame.up_to for frame in frames if not isinstance(frame, ReceiptFrame)]

    assert quiet == []
    assert mail == [1]
    assert later == [1, 1]


async def test_a_stream_that_opens_late_is_told_of_what_waits_and_of_being_fenced(hub: Hub, sent):
    await hub.register("b")
    await hub.register("b")
    frames = []
    stream = hub.service.listening.open(USER, frames.append)
    served = [
        Served(id=A, instance_id="x", epoch=1),
        Served(id=AgentId("b"), instance_id="x", epoch=1),
        Served(id=AgentId("nobody"), instance_id="x", epoch=1),
    ]
    await hub.service.listening.serve(stream, served)

    shown = [msgspec.to_builtins(frame) for frame in frames]
    assert shown == [
        {"type": "mail", "agentId": "a", "upTo": 3},
        {"type": "fenced", "agentId": "b", "epoch": 2},
    ]


async def test_registering_again_fences_the_stream_that_served_the_agent(hub: Hub):
    agent = await hub.register("a")
    frames = []
    stream = hub.service.listening.open(USER, frames.append)
    await hub.service.listening.serve(stream, [Served(id=A, instance_id="x", epoch=agent.epoch)])
    await hub.register("a")
    await hub.send("a")

    assert [msgspec.to_builtins(frame) for frame in frames] == [
        {"type": "fenced", "agentId": "a", "epoch": 2}
    ]


async def test_an_agent_hears_what_became_of_what_it_sent(hub: Hub):
    agent = await hub.register("a")
    await hub.register("b")
    frames = []
    stream = hub.service.listening.open(USER, frames.append)
    await hub.service.listening.serve(stream, [Served(id=A, instance_id="x", epoch=agent.epoch)])
    sent = await hub.send("b", sender="a")
    await hub.inject("b", sent.deliveries[0].id)
    await hub.resolve("b", "a1", "delivered")

    assert [msgspec.to_builtins(frame) for frame in frames] == [
        {
            "type": "receipt",
            "messageId": sent.id,
            "deliveryId": sent.deliveries[0].id,
            "agentId": "b",
            "state": "delivered",
            "reason": None,
            "sender": "a",
            "turnStatus": None,
            "answer": None,
            "claim": None,
            "atMs": hub.clock.ms,
        }
    ]
