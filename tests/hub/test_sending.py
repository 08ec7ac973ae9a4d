"""Who gets a message, and what is refused."""

import msgspec
import pytest

from hub_kit import Hub, agent_caller, memory_hub
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import SendRequest
from relay_core.messages import OPERATOR, AgentId, Credential, DeliveryState, MessageId
from relay_hub.callers import USER
from relay_hub.limits import Limits

A = AgentId("a")


async def refused(call) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await call
    return caught.value


@pytest.fixture
async def crew(hub: Hub) -> Hub:
    await hub.register("a", label="backend", tags=["python", "all"], capabilities=["chat"])
    await hub.register("b", label="frontend", tags=["web", "all"], capabilities=["chat", "review"])
    await hub.register("c", tags=["frontend", "all"])
    return hub


@pytest.mark.parametrize(
    ("target", "recipients"),
    [
        ("a", ["a"]),
        ("tag:all", ["a", "b", "c"]),
        ("cap:review", ["b"]),
        ("label:backend", ["a"]),
        ("broadcast", ["a", "b", "c"]),
        ("backend", ["a"]),
        ("frontend", ["b"]),
        ("web", ["b"]),
        (" a ", ["a"]),
        ("operator", ["operator"]),
    ],
)
async def test_a_target_finds_its_recipients(crew: Hub, target, recipients):
    if target == "operator":
        sent = await crew.send(target, sender="a")
    else:
        sent = await crew.send(target.strip())

    assert [each.agent_id for each in sent.deliveries] == recipients


@pytest.mark.parametrize("target", ["tag:all", "broadcast", "cap:chat"])
async def test_a_group_does_not_hold_the_sender(crew: Hub, target):
    sent = await crew.send(target, sender="a")

    assert "a" not in [each.agent_id for each in sent.deliveries]


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("nobody", 404, "unknown_target"),
        ("tag:nothing", 404, "no_recipients"),
        ("tag:", 404, "no_recipients"),
        ("tag:ALL", 404, "no_recipients"),
        ("cap:*", 404, "no_recipients"),
        ('label:"', 404, "no_recipients"),
        ("all", 422, "ambiguous_target"),
        ("", 422, "bad_target"),
        ("a\nb", 422, "bad_text"),
        ("operator", 422, "to_self"),
    ],
)
async def test_a_target_that_means_nobody_or_too_many_is_refused(crew: Hub, target, status, code):
    error = await refused(crew.send(target))

    assert (error.status, error.code) == (status, code)
    assert await crew.service.messages.latest_id() == 0


async def test_an_ambiguous_word_lists_what_it_could_mean(crew: Hub):
    error = await refused(crew.send("all"))

    assert "a, b, c" in error.detail
    assert error.fix == "name one of them, or write to all with tag:all"


async def test_a_send_reaches_a_hundred_and_no_more(hub: Hub):
    for number in range(101):
        await hub.register(f"n{number}", tags=["many"] if number else ["many", "one"])

    error = await refused(hub.send("tag:many"))
    sent = await hub.send("tag:many", **{"from": "n0"})

    assert (error.status, error.code) == (422, "fan_out")
    assert len(sent.deliveries) == 100


async def test_the_hub_says_who_sent_it_and_nobody_else(crew: Hub):
    by_user = await crew.send("b")
    by_agent = await crew.send("b", sender="a")
    as_agent = await crew.send("b", **{"from": "a"})
    error = await refused(crew.send("b", sender="a", **{"from": "c"}))

    first, second, third = (each.message for each in await crew.offers("b"))
    assert (first.from_, first.sender.credential) == (OPERATOR, Credential.USER)
    assert (second.from_, second.sender.credential) == (A, Credential.AGENT)
    assert (second.sender.label, second.sender.tags) == ("backend", ("python", "all"))
    assert (third.from_, third.sender.credential) == (A, Credential.USER)
    assert (error.status, error.code) == (403, "foreign_sender")
    assert [by_user.id, by_agent.id, as_agent.id] == [1, 2, 3]


async def test_an_epoch_is_checked_where_a_sender_gives_one(crew: Hub):
    await crew.send("b", **{"from": "a", "epoch": 1})
    with pytest.raises(StaleEpoch):
        await crew.send("b", **{"from": "a", "epoch": 2})


async def test_a_body_may_hold_a_limit_of_utf8_and_not_a_byte_more(crew: Hub):
    limit = crew.service.limits.body_bytes
    await crew.send("b", "\u00e9" * (limit // 2))

    error = await refused(crew.send("b", "\u00e9" * (limit // 2) + "x"))

    assert (error.status, error.code) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"subject": "two\nlines"}, "bad_text"),
        ({"subject": "x" * 1_001}, "too_long"),
        ({"channel": "\x00"}, "bad_text"),
        ({"ttlMs": 0}, "out_of_range"),
        ({"ttlMs": -1}, "out_of_range"),
        ({"ttlMs": 10**18}, "out_of_range"),
        ({"replyTo": 99}, "unknown_reply_to"),
        ({"meta": 1}, "bad_meta"),
        ({"meta": {"k": "x" * 17_000}}, "meta_too_large"),
        ({"from": "broadcast"}, "reserved_id"),
        ({"from": "not an id"}, "bad_agent_id"),
        ({"from": ""}, "bad_agent_id"),
    ],
)
async def test_a_message_that_makes_no_sense_is_refused(crew: Hub, fields, code):
    error = await refused(crew.send("b", **fields))

    assert (error.status, error.code) == (422, code)


async def test_half_a_surrogate_pair_is_refused(crew: Hub):
    request = SendRequest(to="b", body="\ud800")

    error = await refused(crew.service.messages.send(request, USER))

    assert (error.status, error.code) == (422, "bad_text")


async def test_a_full_recipient_is_refused_and_what_waits_stays():
    hub = await memory_hub(Limits(recipient_queue=2))
    await hub.register("a", tags=["t"])
    await hub.register("b", tags=["t"])
    await hub.send("a")
    await hub.send("a")

    error = await refused(hub.send("a"))
    group = await hub.send("tag:t")
    await hub.send("b")
    nobody = await refused(hub.send("tag:t"))

    assert (error.status, error.code, error.retry_after_s) == (429, "recipient_full", 60)
    states = {each.agent_id: each.state for each in group.deliveries}
    assert states == {"a": DeliveryState.SKIPPED, "b": DeliveryState.QUEUED}
    assert (await hub.delivery(group.id, "a")).reason == "recipient_full"
    assert nobody.code == "recipient_full"
    assert len(await hub.offers("a")) == 2
    await hub.close()


async def test_an_agent_sends_sixty_a_minute_and_the_user_as_many_as_they_like(crew: Hub):
    for _ in range(60):
        await crew.send("b", sender="a")
        await crew.send("c")
    await crew.wait(20)

    error = await refused(crew.send("b", sender="a"))
    await crew.send("b")
    await crew.wait(40)
    await crew.send("b", sender="a")

    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limited", 40)


async def test_answers_between_agents_stop_at_the_hop_limit_and_the_operator_starts_anew(crew: Hub):
    last = (await crew.send("b", sender="a")).id
    for hop in range(8):
        sender, to = ("b", "a") if hop % 2 == 0 else ("a", "b")
        last = (await crew.send(to, sender=sender, replyTo=last)).id

    error = await refused(crew.send("a", sender="b", replyTo=last))
    word = await crew.send("b", replyTo=last)
    await crew.send("operator", sender="b", replyTo=word.id)

    assert (error.status, error.code) == (429, "loop_guard")


async def test_a_conversation_between_agents_has_a_budget(crew: Hub):
    root = await crew.send("b", sender="a")
    for _ in range(30):
        await crew.send("b", sender="a", replyTo=root.id)

    error = await refused(crew.send("a", sender="b", replyTo=root.id))
    await crew.wait(600)
    await crew.send("a", sender="b", replyTo=root.id)

    assert (error.status, error.code, error.retry_after_s) == (429, "loop_guard", 600)


async def test_an_agent_replies_only_to_what_it_sent_or_got(crew: Hub):
    sent = await crew.send("b", sender="a")

    await crew.send("a", sender="b", replyTo=sent.id)
    await crew.send("b", sender="a", replyTo=sent.id)
    error = await refused(crew.send("a", sender="c", replyTo=sent.id))

    assert error.code == "unknown_reply_to"


async def test_replies_belong_to_the_conversation_of_the_first_message(crew: Hub):
    first = await crew.send("b", sender="a")
    reply = await crew.send("a", sender="b", replyTo=first.id)
    await crew.send("c")

    thread = await crew.service.messages.thread(MessageId(reply.id), MessageId(0), 100, USER)

    assert [each.id for each in thread] == [first.id, reply.id]
    assert [each.conversation_id for each in thread] == [first.id, first.id]
    assert [each.hop for each in thread] == [0, 1]


async def test_what_a_message_says_travels_unchanged(crew: Hub):
    await crew.send(
        "b",
        "caf\u00e9 \x00\x1b \U0001f600",
        channel="ops",
        subject="why",
        urgent=True,
        type="note",
        meta={"k": [1]},
    )

    (offer,) = await crew.offers("b")
    message = offer.message
    assert message.body == "caf\u00e9 \x00\x1b \U0001f600"
    assert (message.channel, message.subject, message.urgent, message.type) == (
        "ops",
        "why",
        True,
        "note",
    )
    assert msgspec.json.decode(message.meta) == {"k": [1]}


async def test_a_message_is_shown_to_its_sender_its_recipients_and_the_user(crew: Hub):
    sent = await crew.send("tag:all", sender="a")
    message_id = MessageId(sent.id)
    show = crew.service.messages.one

    by_sender = await show(message_id, agent_caller("a"))
    by_recipient = await show(message_id, agent_caller("b"))
    private = await crew.send("a")
    error = await refused(show(MessageId(private.id), agent_caller("b")))

    assert [each.agent_id for each in by_sender.deliveries] == ["b", "c"]
    assert [each.agent_id for each in by_recipient.deliveries] == ["b"]
    assert (error.status, error.code) == (404, "unknown_message")


async def test_reading_marks_a_message_and_doing_it_twice_is_harmless(crew: Hub):
    sent = await crew.send("b")
    message_id = MessageId(sent.id)

    for _ in range(2):
        view = await crew.service.messages.mark_read(message_id, AgentId("b"), USER)
    error = await refused(crew.service.messages.mark_read(message_id, A, USER))

    assert (view.deliveries[0].state, view.deliveries[0].reason) == ("delivered", "read")
    assert await crew.offers("b") == ()
    assert error.code == "unknown_message"


async def test_a_message_that_is_being_injected_cannot_be_marked_as_read(crew: Hub):
    sent = await crew.send("b")
    await crew.inject("b", sent.deliveries[0].id)

    error = await refused(crew.service.messages.mark_read(MessageId(sent.id), AgentId("b"), USER))

    assert (error.status, error.code) == (409, "attempt_open")


async def test_what_nobody_takes_expires_and_the_sender_hears_of_it(crew: Hub):
    frames = []
    crew.service.listening.open(USER, frames.append)
    sent = await crew.send("b", ttlMs=1_000)
    await crew.wait(1)

    assert (await crew.delivery(sent.id, "b")).state is DeliveryState.EXPIRED
    assert [frame.state for frame in frames] == ["expired"]


async def test_a_full_store_takes_nothing_in_but_reads_and_acknowledges(crew: Hub):
    sent = await crew.send("b")
    crew.service.store.free_bytes = lambda: 0
    await crew.service.sweep()

    error = await refused(crew.send("b"))
    await crew.inject("b", sent.deliveries[0].id)
    await crew.resolve("b", "a1", "delivered")
    assert (error.status, error.code, error.retry_after_s) == (503, "storage", 30)
    assert "free_bytes" in str(error.fix)
    assert (await crew.delivery(sent.id, "b")).state is DeliveryState.DELIVERED

    del crew.service.store.free_bytes
    await crew.service.sweep()
    await crew.send("b")
