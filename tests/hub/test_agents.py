"""Registering, epochs, presence and what an agent shows of itself."""

import msgspec
import pytest

from hub_kit import Hub, agent_caller, as_body
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import (
    AgentPatch,
    HeartbeatRequest,
    ReadyRequest,
    RegisterRequest,
    Served,
    StatusRequest,
)
from relay_core.messages import OPERATOR, AgentId, DeliveryState
from relay_hub.callers import USER

A = AgentId("a")


async def test_the_first_registration_has_epoch_one_and_each_next_one_more(hub: Hub):
    epochs = [(await hub.register("a")).epoch for _ in range(3)]

    assert epochs == [1, 2, 3]


async def test_an_epoch_is_not_used_again_after_the_agent_was_deleted(hub: Hub):
    await hub.register("a")
    await hub.service.agents.remove(A, USER)

    assert (await hub.register("a")).epoch == 2


async def test_a_registration_says_how_long_the_agent_was_away(hub: Hub):
    first = await hub.register("a")
    await hub.wait(600)
    again = await hub.register("a")

    assert first.away_ms == 0
    assert again.away_ms == 600_000


async def test_meta_tells_thread_channels_and_approval(hub: Hub):
    agent = await hub.register(
        "a", meta={"threadId": "T", "channels": ["ops", "ops"], "approvalMode": "guarded", "x": [1]}
    )

    assert (agent.thread_id, agent.channels, agent.approval) == ("T", ("ops",), "guarded")
    assert msgspec.json.decode(agent.meta)["x"] == [1]


async def test_the_agent_of_a_thread_keeps_its_id_whatever_folder_it_is_resumed_in(hub: Hub):
    thread = {"adapter": "codex", "machine": "m", "meta": {"threadId": "T"}}
    first = await hub.register("codex-one-T", **thread)
    again = await hub.register("codex-two-T", **thread)

    assert (again.id, again.epoch) == (first.id, 2)
    assert [agent.id for agent in await hub.service.agents.all(USER)] == [first.id]


@pytest.mark.parametrize(
    "other",
    [
        {"adapter": "codex", "machine": "m", "meta": {"threadId": "U"}},
        {"adapter": "echo", "machine": "m", "meta": {"threadId": "T"}},
        {"adapter": "codex", "machine": "n", "meta": {"threadId": "T"}},
        {"machine": "m", "meta": {"threadId": "T"}},
        {"adapter": "codex", "machine": "m", "meta": {}},
    ],
)
async def test_another_thread_adapter_or_machine_is_another_agent(hub: Hub, other):
    await hub.register("a", adapter="codex", machine="m", meta={"threadId": "T"})

    assert (await hub.register("b", **other)).id == "b"


async def test_an_agent_s_own_token_registers_no_other_agent(hub: Hub):
    await hub.register("a", adapter="codex", meta={"threadId": "T"})
    request = as_body(RegisterRequest, {"id": "b", "adapter": "codex", "meta": {"threadId": "T"}})
    registered = await hub.service.agents.register(request, agent_caller("b"))

    assert registered.agent.id == "b"


async def test_a_mode_is_shown_as_the_session_calls_it_and_a_heartbeat_corrects_it(hub: Hub):
    first = await hub.register("a", meta={"approvalMode": "read-only/on-request"})
    beat = as_body(HeartbeatRequest, {"epoch": 1, "approval": "danger-full-access/never"})
    await hub.service.agents.heartbeat(A, beat, USER)
    await hub.service.agents.heartbeat(A, HeartbeatRequest(epoch=1), USER)
    shown = await hub.service.agents.one(A, USER)
    with pytest.raises(HubRefused) as refused:
        await hub.service.agents.heartbeat(A, HeartbeatRequest(epoch=1, approval="a\nb"), USER)

    assert (first.approval, shown.approval) == ("read-only/on-request", "danger-full-access/never")
    assert refused.value.code == "bad_text"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"id": "operator"}, "reserved_id"),
        ({"id": "broadcast"}, "reserved_id"),
        ({"id": "tag:x"}, "bad_agent_id"),
        ({"id": "a b"}, "bad_agent_id"),
        ({"id": ""}, "bad_agent_id"),
        ({"id": "\u0430"}, "bad_agent_id"),
        ({"id": "x" * 129}, "bad_agent_id"),
        ({"id": "a/../b"}, "bad_agent_id"),
        ({"label": "two\nlines"}, "bad_text"),
        ({"tags": ["\x1b[31m"]}, "bad_text"),
        ({"tags": ["x" * 129]}, "too_long"),
        ({"tags": [str(number) for number in range(65)]}, "too_many"),
        ({"meta": []}, "bad_meta"),
        ({"meta": {"k": "x" * 17_000}}, "meta_too_large"),
        ({"meta": {"threadId": 7}}, "bad_meta"),
        ({"meta": {"approvalMode": 7}}, "bad_meta"),
        ({"meta": {"approvalMode": "open\x1b[2J"}}, "bad_text"),
        ({"meta": {"approvalMode": "x" * 129}}, "too_long"),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(hub: Hub, fields, code):
    request = as_body(RegisterRequest, {"id": "a", **fields})

    with pytest.raises(HubRefused) as refused:
        await hub.service.agents.register(request, USER)

    assert (refused.value.status, refused.value.code) == (422, code)
    assert await hub.service.agents.all(USER) == ()


async def test_registering_again_makes_what_was_being_injected_uncertain(hub: Hub):
    await hub.register("a")
    sent = await hub.send("a")
    await hub.inject("a", sent.deliveries[0].id)

    await hub.register("a")

    (offer,) = await hub.offers("a")
    assert offer.delivery.state is DeliveryState.UNCERTAIN
    assert offer.attempt is not None
    assert offer.attempt.id == "a1"


async def test_what_waits_survives_a_registration(hub: Hub):
    await hub.register("a")
    await hub.send("a")
    await hub.register("a")

    assert [each.delivery.state for each in await hub.offers("a")] == [DeliveryState.QUEUED]


@pytest.mark.parametrize(
    "call",
    [
        lambda hub, **who: hub.service.agents.heartbeat(A, HeartbeatRequest(**who), USER),
        lambda hub, **who: hub.service.agents.set_status(
            A, StatusRequest(status="busy", **who), USER
        ),
        lambda hub, **who: hub.service.agents.set_ready(A, ReadyRequest(ready=True, **who), USER),
    ],
)
async def test_acting_for_an_agent_needs_the_newest_epoch(hub: Hub, call):
    await hub.register("a")
    await hub.register("a", instanceId="a-2")

    with pytest.raises(HubRefused) as missing:
        await call(hub)
    for who in ({"epoch": 1}, {"epoch": 3}, {"epoch": 0}, {"epoch": 2, "instance_id": "a-1"}):
        with pytest.raises(StaleEpoch):
            await call(hub, **who)
    await call(hub, epoch=2, instance_id="a-2")

    assert (missing.value.status, missing.value.code) == (428, "epoch_required")


async def test_an_unknown_agent_is_not_found(hub: Hub):
    with pytest.raises(HubRefused) as refused:
        await hub.service.agents.heartbeat(A, HeartbeatRequest(epoch=1), USER)

    assert (refused.value.status, refused.value.code) == (404, "unknown_agent")


async def test_an_agent_is_reachable_for_ninety_seconds_after_it_was_heard_of(hub: Hub):
    await hub.register("a")
    await hub.wait(90)
    there = (await hub.service.agents.one(A, USER)).reachable
    await hub.wait(1)
    away = await hub.service.agents.one(A, USER)
    sent = await hub.send("a")

    assert there
    assert (away.reachable, away.away_ms) == (False, 91_000)
    assert sent.deliveries[0].away


async def test_an_agent_that_is_served_on_a_stream_is_reachable_without_heartbeats(hub: Hub):
    agent = await hub.register("a")
    stream = hub.service.listening.open(USER, lambda frame: None)
    await hub.service.listening.serve(stream, [Served(id=A, instance_id="a-1", epoch=agent.epoch)])
    await hub.wait(3_600)

    served = (await hub.service.agents.one(A, USER)).reachable
    await hub.service.listening.close(stream)
    await hub.wait(91)
    away = await hub.service.agents.one(A, USER)

    assert served
    assert (away.reachable, away.away_ms) == (False, 91_000)


async def test_an_agent_that_says_it_is_offline_is_not_reachable(hub: Hub):
    await hub.register("a")
    await hub.service.agents.set_status(A, StatusRequest(status="offline", epoch=1), USER)

    assert not (await hub.service.agents.one(A, USER)).reachable


async def test_a_heartbeat_carries_what_a_session_shows(hub: Hub):
    await hub.register("a")
    beat = HeartbeatRequest(
        epoch=1, status="busy", ready=True, waiting="busy", unattended=True, last_user_turn_ms=5
    )
    await hub.service.agents.heartbeat(A, beat, USER)
    shown = await hub.service.agents.one(A, USER)
    await hub.service.agents.heartbeat(A, HeartbeatRequest(epoch=1), USER)
    later = await hub.service.agents.one(A, USER)

    assert (shown.status, shown.ready) == (later.status, later.ready) == ("busy", True)
    assert (shown.waiting, shown.unattended, shown.last_user_turn_ms) == ("busy", True, 5)
    assert (later.waiting, later.unattended, later.last_user_turn_ms) == (None, True, 5)


async def test_a_session_that_says_nothing_keeps_its_label(hub: Hub):
    await hub.register("a", label="codex", tags=["red"])
    again = await hub.register("a")
    other = await hub.register("a", label="other")

    assert (again.label, again.tags, other.label) == ("codex", (), "other")


async def test_what_the_user_set_stays_over_registrations_until_the_user_sets_it_again(hub: Hub):
    await hub.register("a", label="codex", tags=["blue"])
    await hub.service.agents.change(A, AgentPatch(label="fixer"), USER)
    label_only = await hub.register("a", label="codex", tags=["green"])
    await hub.service.agents.change(A, AgentPatch(tags=("red",)), USER)
    both = await hub.register("a", label="codex", tags=["blue"])
    sent = await hub.send("tag:red")
    await hub.service.agents.change(A, AgentPatch(label="", tags=()), USER)
    cleared = await hub.register("a", label="codex", tags=["blue"])

    assert (label_only.label, label_only.tags) == ("fixer", ("green",))
    assert (both.label, both.tags) == ("fixer", ("red",))
    assert [each.agent_id for each in sent.deliveries] == ["a"]
    assert (cleared.label, cleared.tags) == (None, ())


async def test_what_the_user_set_goes_with_the_agent(hub: Hub):
    await hub.register("a")
    await hub.service.agents.change(A, AgentPatch(label="fixer", tags=("red",)), USER)
    await hub.service.agents.remove(A, USER)
    new = await hub.register("a", tags=["blue"])
    later = await hub.register("a", label="codex", tags=["green"])

    assert (new.label, new.tags) == (None, ("blue",))
    assert (later.label, later.tags) == ("codex", ("green",))


async def test_an_agent_changes_its_own_label_and_tags_but_not_what_the_user_set(hub: Hub):
    await hub.register("a", tags=["blue"])
    change, own = hub.service.agents.change, agent_caller("a")
    await change(A, AgentPatch(label="own"), own)
    await change(A, AgentPatch(tags=("red",)), USER)
    again = await hub.register("a", label="codex", tags=["green"])
    with pytest.raises(HubRefused) as tags:
        await change(A, AgentPatch(label="own", tags=()), own)
    await change(A, AgentPatch(label="fixer"), USER)
    with pytest.raises(HubRefused) as label:
        await change(A, AgentPatch(label="own"), own)
    shown = await hub.service.agents.one(A, USER)

    assert (again.label, again.tags) == ("codex", ("red",))
    assert {(each.value.status, each.value.code) for each in (tags, label)} == {(403, "user_only")}
    assert (shown.label, shown.tags) == ("fixer", ("red",))


async def test_an_agents_token_acts_for_it_alone(hub: Hub):
    await hub.register("a")
    await hub.register("b")
    a = agent_caller("a")

    calls = [
        hub.service.agents.register(RegisterRequest(id=AgentId("b")), a),
        hub.service.agents.heartbeat(AgentId("b"), HeartbeatRequest(epoch=1), a),
        hub.service.agents.change(AgentId("b"), AgentPatch(label="x"), a),
        hub.service.agents.remove(AgentId("b"), a),
        hub.service.deliveries.offers(AgentId("b"), a),
        hub.service.messages.inbox(AgentId("b"), 0, 10, a),
        hub.service.tokens.make(A, a),
    ]
    codes = []
    for call in calls:
        with pytest.raises(HubRefused) as refused:
            await call
        codes.append((refused.value.status, refused.value.code))

    assert codes == [(403, "foreign_agent")] * 6 + [(403, "user_only")]


async def test_meta_is_shown_to_the_agent_itself_and_to_the_user(hub: Hub):
    await hub.register("a", meta={"secret": 1})
    await hub.register("b")

    shown = [
        bytes((await hub.service.agents.one(A, caller)).meta)
        for caller in (USER, agent_caller("a"), agent_caller("b"))
    ]

    assert shown == [b'{"secret":1}', b'{"secret":1}', b"{}"]


async def test_deleting_an_agent_buries_its_mail_and_its_tokens(hub: Hub):
    await hub.register("a")
    token = await hub.service.tokens.make(A, USER)
    sent = await hub.send("a")
    await hub.service.agents.remove(A, USER)

    from relay_hub.tokens import token_hash

    delivery = await hub.delivery(sent.id, "a")
    assert (delivery.state, delivery.reason) == (DeliveryState.DEAD, "recipient_removed")
    assert hub.service.tokens.caller(token_hash(token)) is None
    with pytest.raises(HubRefused):
        await hub.service.agents.remove(OPERATOR, USER)


async def test_tokens_are_kept_as_hashes_and_known_after_a_restart(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from hub_kit import file_hub
    from relay_hub.tokens import token_hash

    path = tmp_path / "hub.sqlite"
    with ThreadPoolExecutor(1) as writer:
        hub = await file_hub(path, writer)
        await hub.register("a")
        token = await hub.service.tokens.make(A, USER)
        await hub.close()
        again = await file_hub(path, writer)
        caller = again.service.tokens.caller(token_hash(token))
        await again.close()

    assert caller == agent_caller("a")
    assert token.encode() not in path.read_bytes()
