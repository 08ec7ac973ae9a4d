"""Two agents that talk to each other alone: inviting, answering, talking, and how it ends."""

import asyncio
import json
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub_kit import Hub, agent_caller, as_body, file_hub, memory_hub
from relay_core.errors import HubRefused, StaleEpoch
from relay_core.hub_api import Pair, PairAnswer, PairMessageRequest, PairRequest
from relay_core.messages import AgentId, Message, MessageId, PairId, PairState
from relay_hub.callers import USER, Caller
from relay_hub.limits import DAY, MINUTE, Limits

MINUTE_S = 60
DAY_S = 24 * 60 * 60
ANYBODY = PairAnswer()


@pytest.fixture
async def trio(hub: Hub) -> Hub:
    for name in ("a", "b", "c"):
        await hub.register(name, tags=["codex", f"only-{name}"], label=f"the {name}")
    return hub


async def invite(hub: Hub, by: str, target: str, **fields: object) -> Pair:
    request = as_body(PairRequest, {"from": by, "target": target, **fields})
    return await hub.service.pairs.invite(request, USER)


async def say(hub: Hub, pair: Pair, by: str, body: str = "hello", **fields: object) -> int:
    request = as_body(PairMessageRequest, {"from": by, "body": body, **fields})
    return (await hub.service.pairs.say(pair.id, request, USER)).id


def by(name: str) -> PairAnswer:
    return PairAnswer(agent_id=AgentId(name))


async def accepted(hub: Hub, inviter: str = "a", invitee: str = "b") -> Pair:
    pair = await invite(hub, inviter, invitee)
    return await hub.service.pairs.accept(pair.id, by(invitee), USER)


async def mail(hub: Hub, name: str) -> list[Message]:
    return [each.message for each in await hub.offers(name)]


async def told(hub: Hub, name: str) -> list[tuple[str, str | None]]:
    return [(each.from_, each.type) for each in await mail(hub, name)]


async def refused(work: Awaitable[object]) -> HubRefused:
    with pytest.raises(HubRefused) as error:
        await work
    return error.value


async def test_an_invitation_reaches_the_other_agent_as_a_message(trio: Hub):
    pair = await invite(trio, "a", "b", objective="Debug flaky  tests\n now")

    (message,) = await mail(trio, "b")
    assert (pair.inviter, pair.invitee, pair.state) == ("a", "b", PairState.PENDING)
    assert (message.from_, message.to, message.type) == ("a", "b", "pair.invite")
    assert (message.pair_id, json.loads(bytes(message.meta))) == (
        pair.id,
        {
            "pairId": pair.id,
            "objective": "Debug flaky tests now",
            "expiresAt": pair.expires_at,
        },
    )
    assert "Debug flaky tests now" in message.body
    assert pair.id in message.body
    assert message.sender.label == "the a"


@pytest.mark.parametrize("target", ["b", "the b", "only-b", "tag:only-b", "label:the b"])
async def test_any_target_that_means_one_other_agent_will_do(trio: Hub, target: str):
    assert (await invite(trio, "a", target)).invitee == "b"


async def test_a_group_counts_without_the_inviter(hub: Hub):
    await hub.register("a", tags=["codex"])
    await hub.register("b", tags=["codex"])

    assert (await invite(hub, "a", "codex")).invitee == "b"


@pytest.mark.parametrize("target", ["codex", "tag:codex", "broadcast"])
async def test_a_target_that_means_several_is_refused_and_lists_them(trio: Hub, target: str):
    error = await refused(invite(trio, "a", target))

    assert (error.status, error.code) == (422, "ambiguous_target")
    assert "b, c" in error.detail
    assert await mail(trio, "b") == []


@pytest.mark.parametrize(
    ("inviter", "target", "code"),
    [
        ("a", "a", "to_self"),
        ("a", "nobody", "unknown_target"),
        ("a", "tag:nobody", "no_recipients"),
        ("a", "operator", "bad_target"),
        ("a", "hub", "unknown_target"),
        ("a", " ", "bad_target"),
        ("nobody", "b", "unknown_agent"),
        ("operator", "b", "no_sender"),
        (None, "b", "no_sender"),
    ],
)
async def test_who_cannot_be_paired_is_refused(
    trio: Hub, inviter: str | None, target: str, code: str
):
    request = as_body(PairRequest, {"from": inviter, "target": target})
    error = await refused(trio.service.pairs.invite(request, USER))

    assert error.code == code
    assert (await trio.service.pairs.all(None, tuple(PairState), None, 9, USER)).pairs == ()


async def test_the_inviter_hears_that_it_was_accepted(trio: Hub):
    pair = await accepted(trio)

    assert (pair.state, pair.expires_at) == (PairState.ACTIVE, None)
    assert await told(trio, "a") == [("b", "pair.accepted")]
    assert [each.type for each in await mail(trio, "b")] == ["pair.invite"]


async def test_the_inviter_hears_that_it_was_turned_down(trio: Hub):
    pair = await invite(trio, "a", "b")
    over = await trio.service.pairs.reject(pair.id, by("b"), USER)

    assert (over.state, over.reason, over.ended_by) == (PairState.ENDED, "rejected", "b")
    assert await told(trio, "a") == [("b", "pair.rejected")]
    assert (await invite(trio, "a", "b")).id != pair.id


async def test_what_is_said_goes_to_the_partner_alone(trio: Hub):
    pair = await accepted(trio)
    first = await say(trio, pair, "a", "what do you see?", subject="eyes")
    second = await say(trio, pair, "b", "nothing", replyTo=first)

    (*_, asked), (*_, answered) = await mail(trio, "b"), await mail(trio, "a")
    assert await mail(trio, "c") == []
    assert (asked.id, asked.from_, asked.body, asked.subject) == (
        first,
        "a",
        "what do you see?",
        "eyes",
    )
    assert (answered.id, answered.reply_to, answered.type) == (second, first, "pair.message")
    assert asked.pair_id == answered.pair_id == pair.id
    assert json.loads(bytes(asked.meta)) == {"pairId": pair.id}


async def test_a_pair_is_one_conversation(trio: Hub):
    pair = await accepted(trio)
    last = await say(trio, pair, "b")
    thread = await trio.service.messages.thread(MessageId(last), MessageId(0), 100, USER)

    assert [each.type for each in thread] == ["pair.invite", "pair.accepted", "pair.message"]


async def test_hanging_up_frees_both_and_tells_the_partner(trio: Hub):
    pair = await accepted(trio)
    over = await trio.service.pairs.hang_up(pair.id, by("a"), USER)

    assert (over.state, over.reason, over.ended_by) == (PairState.ENDED, "hung_up", "a")
    assert (await told(trio, "b"))[-1] == ("a", "pair.ended")
    assert await told(trio, "a") == [("b", "pair.accepted")]
    assert (await invite(trio, "b", "c")).state is PairState.PENDING
    assert (await refused(say(trio, pair, "a"))).code == "pair_ended"


async def test_the_person_at_the_keyboard_hangs_up_for_both(trio: Hub):
    pair = await accepted(trio)
    over = await trio.service.pairs.hang_up(pair.id, ANYBODY, USER)

    assert (over.reason, over.ended_by) == ("hung_up", "operator")
    assert [(await told(trio, each))[-1] for each in ("a", "b")] == [
        ("operator", "pair.ended"),
        ("operator", "pair.ended"),
    ]


async def test_an_invitation_that_is_taken_back_in_time_is_never_seen(trio: Hub):
    pair = await invite(trio, "a", "b")
    over = await trio.service.pairs.hang_up(pair.id, by("a"), USER)

    assert over.reason == "withdrawn"
    assert await mail(trio, "b") == []


async def test_an_invitation_that_is_taken_back_too_late_is_called_off(trio: Hub):
    pair = await invite(trio, "a", "b")
    (offer,) = await trio.offers("b")
    await trio.inject("b", offer.delivery.id)
    await trio.service.pairs.hang_up(pair.id, by("a"), USER)

    assert await told(trio, "b") == [("a", "pair.invite"), ("a", "pair.ended")]


async def test_hanging_up_on_an_invitation_turns_it_down(trio: Hub):
    pair = await invite(trio, "a", "b")

    assert (await trio.service.pairs.hang_up(pair.id, by("b"), USER)).reason == "rejected"
    assert await told(trio, "a") == [("b", "pair.rejected")]


async def test_an_invitation_that_nobody_answers_expires_and_the_inviter_hears_of_it(trio: Hub):
    pair = await invite(trio, "a", "b")
    await trio.wait(9 * MINUTE_S)
    before = await trio.service.pairs.one(pair.id, USER)
    await trio.wait(MINUTE_S)
    after = await trio.service.pairs.one(pair.id, USER)

    assert before.state is PairState.PENDING
    assert (after.state, after.reason, after.ended_by) == (PairState.ENDED, "expired", None)
    assert await told(trio, "a") == [("hub", "pair.ended")]
    assert await mail(trio, "b") == []
    assert (await refused(trio.service.pairs.accept(pair.id, by("b"), USER))).code == "pair_ended"
    assert (await invite(trio, "c", "b")).state is PairState.PENDING


async def test_an_answer_at_the_last_moment_does_not_outrun_the_clock(trio: Hub):
    pair = await invite(trio, "a", "b")
    trio.clock.ms += 10 * MINUTE
    error = await refused(trio.service.pairs.accept(pair.id, by("b"), USER))

    assert (error.status, error.code) == (409, "pair_ended")
    assert "expired" in error.detail


async def test_how_long_an_invitation_holds_can_be_set():
    hub = await memory_hub(Limits(pair_invite_ms=2_000))
    for name in ("a", "b"):
        await hub.register(name)
    pair = await invite(hub, "a", "b")
    await hub.wait(3)

    assert (await hub.service.pairs.one(pair.id, USER)).reason == "expired"
    await hub.close()


@pytest.mark.parametrize("gone", ["a", "b"])
async def test_a_pair_ends_with_the_agent_that_is_deleted(trio: Hub, gone: str):
    pair = await accepted(trio)
    left = "b" if gone == "a" else "a"
    await trio.service.agents.remove(AgentId(gone), USER)
    over = await trio.service.pairs.one(pair.id, USER)

    assert (over.state, over.reason, over.ended_by) == (PairState.ENDED, "agent_gone", gone)
    assert ("hub", "pair.ended") in await told(trio, left)
    assert (await invite(trio, left, "c")).state is PairState.PENDING


async def test_a_pair_outlives_a_registration(trio: Hub):
    pair = await accepted(trio)
    await trio.register("b", instanceId="another")

    assert await say(trio, pair, "b") > 0


# --- exclusive -------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("inviter", "target", "busy"),
    [("a", "c", "a"), ("b", "c", "b"), ("c", "a", "a"), ("c", "b", "b"), ("a", "b", "a")],
)
async def test_who_is_in_a_pair_is_in_no_other(
    trio: Hub, inviter: str, target: str, busy: str, *, active: bool
):
    pair = await (accepted(trio) if active else invite(trio, "a", "b"))
    former = await trio.service.messages.latest_id()
    error = await refused(invite(trio, inviter, target))
    known = await trio.service.pairs.all(None, tuple(PairState), None, 9, USER)

    assert (error.status, error.code) == (409, "pair_busy")
    assert error.detail.startswith(f"{busy} ")
    assert [each.id for each in known.pairs] == [pair.id]
    assert await trio.service.messages.latest_id() == former


async def test_of_invitations_at_the_same_time_exactly_one_wins(tmp_path: Path):
    with ThreadPoolExecutor(max_workers=1) as writer:
        hub = await file_hub(tmp_path / "hub.sqlite", writer)
        for name in ("a", "b", "c", "d"):
            await hub.register(name)
        wanted = [("a", "b"), ("b", "a"), ("c", "a"), ("a", "c"), ("b", "c"), ("c", "b")]
        done = await asyncio.gather(
            *(invite(hub, *each) for each in wanted), return_exceptions=True
        )
        won = [each for each in done if isinstance(each, Pair)]
        lost = [each for each in done if isinstance(each, HubRefused)]
        mail_of_all = [await mail(hub, name) for name in ("a", "b", "c", "d")]
        left = next(
            name for name in ("a", "b", "c") if name not in (won[0].inviter, won[0].invitee)
        )
        later = await invite(hub, left, "d")
        await hub.close()

    assert len(won) == 1
    assert [each.code for each in lost] == ["pair_busy"] * 5
    assert [len(each) for each in mail_of_all].count(1) == 1
    assert later.state is PairState.PENDING


async def test_a_pair_outlives_the_hub(tmp_path: Path):
    with ThreadPoolExecutor(max_workers=1) as writer:
        first = await file_hub(tmp_path / "hub.sqlite", writer)
        for name in ("a", "b", "c"):
            await first.register(name)
        pair = await accepted(first)
        await first.close()
        second = await file_hub(tmp_path / "hub.sqlite", writer)
        sent = await say(second, pair, "a")
        busy = await refused(invite(second, "c", "b"))
        await second.close()

    assert sent > 0
    assert busy.code == "pair_busy"


# --- who may do what -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "answer", "code"),
    [
        (agent_caller("a"), ANYBODY, "not_invited"),
        (agent_caller("a"), by("b"), "foreign_agent"),
        (agent_caller("c"), ANYBODY, "not_in_pair"),
        (agent_caller("c"), by("b"), "not_in_pair"),
        (USER, by("a"), "not_invited"),
        (USER, by("c"), "not_in_pair"),
        (USER, by(""), "not_in_pair"),
    ],
)
async def test_only_the_invitee_answers(trio: Hub, caller: Caller, answer: PairAnswer, code: str):
    pair = await invite(trio, "a", "b")
    for how in (trio.service.pairs.accept, trio.service.pairs.reject):
        error = await refused(how(pair.id, answer, caller))
        assert (error.status, error.code) == (403, code)

    assert (await trio.service.pairs.one(pair.id, USER)).state is PairState.PENDING


@pytest.mark.parametrize(
    "answer", [ANYBODY, by("b"), PairAnswer(from_=AgentId("b"))], ids=["nobody", "agentId", "from"]
)
@pytest.mark.parametrize("caller", [USER, agent_caller("b")], ids=["user", "agent"])
async def test_the_invitee_is_named_or_understood(trio: Hub, caller: Caller, answer: PairAnswer):
    pair = await invite(trio, "a", "b")

    assert (await trio.service.pairs.accept(pair.id, answer, caller)).state is PairState.ACTIVE


async def test_an_agent_speaks_and_hangs_up_as_itself_alone(trio: Hub):
    pair = await accepted(trio)
    pairs, own = trio.service.pairs, agent_caller("a")
    words = PairMessageRequest(body="x")
    foreign = as_body(PairMessageRequest, {"from": "b", "body": "x"})

    assert (await refused(pairs.say(pair.id, foreign, own))).code == "foreign_agent"
    assert (await refused(pairs.say(pair.id, words, agent_caller("c")))).code == "not_in_pair"
    assert (await refused(pairs.say(pair.id, words, USER))).code == "no_sender"
    assert (await refused(pairs.hang_up(pair.id, by("b"), own))).code == "foreign_agent"
    assert (await refused(pairs.hang_up(pair.id, by("operator"), own))).code == "foreign_agent"
    assert (await refused(pairs.hang_up(pair.id, ANYBODY, agent_caller("c")))).status == 403
    assert (await pairs.say(pair.id, words, own)).deliveries[0].agent_id == "b"
    assert (await pairs.hang_up(pair.id, ANYBODY, own)).ended_by == "a"


async def test_an_agent_invites_as_itself_alone(trio: Hub):
    pairs, own = trio.service.pairs, agent_caller("a")
    foreign = as_body(PairRequest, {"from": "b", "target": "c"})

    assert (await refused(pairs.invite(foreign, own))).code == "foreign_agent"
    assert (await pairs.invite(PairRequest(target="b"), own)).inviter == "a"


async def test_an_agent_sees_its_own_pairs_alone(trio: Hub):
    await trio.register("d")
    pair, other = await accepted(trio), await accepted(trio, "c", "d")
    pairs, everything = trio.service.pairs, tuple(PairState)
    listed = await pairs.all(None, everything, None, 9, agent_caller("a"))
    whole = await pairs.all(None, everything, None, 9, USER)
    foreign = pairs.all(AgentId("c"), everything, None, 9, agent_caller("a"))

    assert [each.id for each in listed.pairs] == [pair.id]
    assert {each.id for each in whole.pairs} == {pair.id, other.id}
    assert (await refused(foreign)).status == 403
    assert (await refused(pairs.one(other.id, agent_caller("a")))).status == 404


async def test_a_fenced_instance_changes_nothing(trio: Hub):
    pair = await invite(trio, "a", "b")
    await trio.register("b", instanceId="another")
    old = PairAnswer(agent_id=AgentId("b"), instance_id="b-1", epoch=1)

    with pytest.raises(StaleEpoch):
        await trio.service.pairs.accept(pair.id, old, USER)
    assert (await trio.service.pairs.one(pair.id, USER)).state is PairState.PENDING


# --- again, too early, too late --------------------------------------------------------------


async def test_doing_it_again_is_harmless(trio: Hub):
    pair, pairs = await accepted(trio), trio.service.pairs
    again = await pairs.accept(pair.id, by("b"), USER)
    ended = [await pairs.hang_up(pair.id, by(name), USER) for name in ("a", "b", "a")]

    assert again == pair
    assert ended[0] == ended[1] == ended[2]
    assert await told(trio, "a") == [("b", "pair.accepted")]
    assert await told(trio, "b") == [("a", "pair.invite"), ("a", "pair.ended")]


async def test_what_comes_too_early_or_too_late_is_refused(trio: Hub):
    pairs, pair = trio.service.pairs, await invite(trio, "a", "b")
    early = await refused(say(trio, pair, "a"))
    await pairs.accept(pair.id, by("b"), USER)
    second_thoughts = await refused(pairs.reject(pair.id, by("b"), USER))
    await pairs.hang_up(pair.id, by("a"), USER)
    late = [
        await refused(pairs.accept(pair.id, by("b"), USER)),
        await refused(pairs.reject(pair.id, by("b"), USER)),
        await refused(say(trio, pair, "b")),
    ]

    assert (early.status, early.code) == (409, "pair_pending")
    assert (second_thoughts.status, second_thoughts.code) == (409, "pair_active")
    assert [(each.status, each.code) for each in late] == [(409, "pair_ended")] * 3


async def test_a_reply_in_a_pair_answers_what_was_said_in_it(trio: Hub):
    elsewhere = (await trio.send("a")).id
    pair = await accepted(trio)

    assert (await refused(say(trio, pair, "a", replyTo=elsewhere))).code == "unknown_reply_to"


async def test_there_is_no_pair_by_another_name(trio: Hub):
    unknown = PairId("pair-000000000000")
    pairs = trio.service.pairs
    asked = (
        pairs.one(unknown, USER),
        pairs.accept(unknown, ANYBODY, USER),
        pairs.hang_up(unknown, ANYBODY, USER),
        pairs.say(unknown, PairMessageRequest(body="x"), USER),
        pairs.all(None, tuple(PairState), unknown, 9, USER),
    )

    assert [(await refused(each)).code for each in asked] == ["unknown_pair"] * 5


async def test_a_pair_is_not_taken_for_a_chain_of_answers_but_its_rate_is_limited(trio: Hub):
    pair, pairs = await accepted(trio), trio.service.pairs
    for number in range(30):
        caller = agent_caller("ab"[number % 2])
        await pairs.say(pair.id, PairMessageRequest(body="ping"), caller)
    error = await refused(pairs.say(pair.id, PairMessageRequest(body="x"), agent_caller("a")))

    assert (error.status, error.code) == (429, "loop_guard")


async def test_a_full_partner_is_asked_again_later():
    hub = await memory_hub(Limits(recipient_queue=2))
    for name in ("a", "b", "c"):
        await hub.register(name)
    pair = await accepted(hub)
    await say(hub, pair, "a")
    full = await refused(say(hub, pair, "a"))
    uninvited = await refused(invite(hub, "c", "b"))
    over = await hub.service.pairs.hang_up(pair.id, by("a"), USER)
    unasked = await refused(invite(hub, "c", "b"))

    assert (full.status, full.code) == (429, "recipient_full")
    assert uninvited.code == "pair_busy"
    assert (over.state, (await told(hub, "b"))[-1]) == (PairState.ENDED, ("a", "pair.ended"))
    assert unasked.code == "recipient_full"
    assert (await hub.service.pairs.all(AgentId("c"), tuple(PairState), None, 9, USER)).pairs == ()
    await hub.close()


# --- lists, and what is forgotten ------------------------------------------------------------


async def test_pairs_are_listed_newest_first_a_page_at_a_time(trio: Hub):
    made: list[PairId] = []
    for number in range(5):
        pair = await invite(trio, "a", "bc"[number % 2])
        await trio.service.pairs.hang_up(pair.id, by("a"), USER)
        made.append(pair.id)
    last = await invite(trio, "b", "c")
    found: list[PairId] = []
    page = await trio.service.pairs.all(None, tuple(PairState), None, 2, USER)
    while page.pairs:
        found += [each.id for each in page.pairs]
        page = await trio.service.pairs.all(None, tuple(PairState), found[-1], 2, USER)
    of_c = await trio.service.pairs.all(AgentId("c"), (PairState.ENDED,), None, 9, USER)

    assert sorted(found) == sorted([*made, last.id])
    assert {each.id for each in of_c.pairs} == {made[1], made[3]}


async def test_a_pair_is_forgotten_with_its_messages_once_it_has_ended():
    hub = await memory_hub(Limits(keep_ms=2 * DAY))
    for name in ("a", "b"):
        await hub.register(name)
    ended, pairs = await accepted(hub), hub.service.pairs
    await pairs.hang_up(ended.id, by("a"), USER)
    active = await accepted(hub)
    for _ in range(12):
        await hub.wait(DAY_S)
        await hub.wait(MINUTE_S)
    after = await say(hub, active, "a", "are you still there?")

    assert (await refused(pairs.one(ended.id, USER))).code == "unknown_pair"
    assert (await pairs.one(active.id, USER)).state is PairState.ACTIVE
    assert (await mail(hub, "b"))[-1].conversation_id == after
    await hub.close()
