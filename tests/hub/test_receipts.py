"""What a sender can see of what it sent, and what it is told without asking."""

import pytest

from hub_kit import START_MS, Hub, agent_caller, as_body
from relay_core.hub_api import MessageView, ReceiptFrame, Served, TurnReport, VerdictRequest
from relay_core.messages import AgentId, AttemptId, DeliveryId, DeliveryState, MessageId
from relay_hub.callers import USER
from relay_hub.limits import Limits

S = DeliveryState
HEARTBEAT_S = Limits().heartbeat_ms / 1_000


async def view(hub: Hub, number: int, caller=USER) -> MessageView:
    return await hub.service.messages.one(MessageId(number), caller)


async def away(hub: Hub, number: int, caller=USER) -> list[bool | None]:
    return [each.away for each in (await view(hub, number, caller)).deliveries]


async def end_turn(hub: Hub, attempt: str, status: str = "completed") -> None:
    given = {"turnId": "t", "status": status, "agentId": "a", "epoch": hub.epochs["a"]}
    report = as_body(TurnReport, given)
    await hub.service.deliveries.report_turn(AttemptId(attempt), report, USER)


class Told:
    """The receipts that the sender `asker` has got on its stream."""

    def __init__(self) -> None:
        self.frames: list[object] = []

    def since(self) -> list[ReceiptFrame]:
        """Those that came since the last look."""
        found = [each for each in self.frames if isinstance(each, ReceiptFrame)]
        self.frames.clear()
        return found

    def one(self) -> ReceiptFrame:
        (found,) = self.since()
        return found


@pytest.fixture
async def told(hub: Hub) -> Told:
    """Two recipients that share a tag, and a sender that listens."""
    told = Told()
    await hub.register("a", tags=["t"])
    await hub.register("b", tags=["t"])
    asker = await hub.register("asker")
    stream = hub.service.listening.open(USER, told.frames.append)
    served = Served(id=AgentId("asker"), instance_id="x", epoch=asker.epoch)
    await hub.service.listening.serve(stream, [served])
    return told


# --- away ------------------------------------------------------------------------------------


async def test_a_sender_sees_who_is_away_and_who_is_back(hub: Hub):
    agent = await hub.register("a")
    sent = await hub.send("a")
    there = await away(hub, sent.id)
    await hub.wait(HEARTBEAT_S + 1)
    gone = await away(hub, sent.id)
    stream = hub.service.listening.open(USER, lambda _: None)
    served = Served(id=AgentId("a"), instance_id="x", epoch=agent.epoch)
    await hub.service.listening.serve(stream, [served])

    assert (there, gone, await away(hub, sent.id)) == ([False], [True], [False])


async def test_whether_a_recipient_is_away_counts_only_while_something_is_to_be_done(hub: Hub):
    await hub.register("a")
    held, skipped = await hub.send("a"), await hub.send("a")
    for sent, state in ((held, "held"), (skipped, "skipped")):
        verdict = as_body(VerdictRequest, {"state": state, "reason": "why"})
        await hub.service.deliveries.give_verdict(DeliveryId(sent.deliveries[0].id), verdict, USER)
    delivered = await hub.send("a")
    await hub.inject("a", delivered.deliveries[0].id)
    await hub.wait(HEARTBEAT_S + 1)
    on_its_way = await away(hub, delivered.id)
    await hub.resolve("a", "a1", "delivered")

    found = [await away(hub, each.id) for each in (held, skipped, delivered)]
    assert (on_its_way, found) == ([True], [[True], [None], [None]])


async def test_the_conversation_says_who_is_away_and_an_offer_does_not(hub: Hub):
    await hub.register("a")
    sent = await hub.send("a", "hello")
    await hub.wait(HEARTBEAT_S + 1)
    (shown,) = await hub.service.messages.thread(sent.id, MessageId(0), 10, USER)

    assert [each.away for each in shown.deliveries] == [True]
    assert (await hub.offers("a"))[0].delivery.away is None


async def test_a_recipient_sees_its_own_part_and_no_other(hub: Hub, told: Told):
    sent = await hub.send("tag:t", sender="asker")

    assert len(await away(hub, sent.id, agent_caller("asker"))) == 2
    assert len(await away(hub, sent.id, agent_caller("a"))) == 1


# --- what is pushed --------------------------------------------------------------------------


async def test_a_receipt_says_when_and_that_the_turn_has_ended(hub: Hub, told: Told):
    sent = await hub.send("a", sender="asker")
    await hub.inject("a", sent.deliveries[0].id)
    before = told.since()
    await hub.resolve("a", "a1", "delivered", turnId="t", reason="unproved")
    proved = told.one()
    hub.clock.ms += 5
    await end_turn(hub, "a1", "interrupted")
    ended = told.one()

    assert before == [], "an attempt that begins is no news"
    assert (proved.state, proved.reason, proved.turn_status) == (S.DELIVERED, "unproved", None)
    assert (ended.state, ended.turn_status) == (S.DELIVERED, "interrupted")
    assert (proved.at_ms, ended.at_ms) == (START_MS, START_MS + 5)


async def test_a_receipt_of_a_request_says_where_its_answer_stands(hub: Hub, told: Told):
    first = await hub.send("a", sender="asker", type="request")
    second = await hub.send("a", sender="asker", type="request")
    for number, sent in enumerate((first, second), 1):
        await hub.inject("a", sent.deliveries[0].id)
        await hub.resolve("a", f"a{number}", "delivered", turnId="t")
    waiting = told.since()
    await hub.send("asker", "yes", sender="a", replyTo=first.id)
    answered = told.one()
    await end_turn(hub, "a2")
    ended = told.one()

    assert [each.answer for each in waiting] == ["waiting", "waiting"]
    assert (answered.message_id, answered.answer, answered.turn_status) == (
        first.id,
        "answered",
        None,
    )
    assert (ended.answer, ended.turn_status) == ("ended_without_reply", "completed")


async def test_one_transaction_makes_one_receipt_of_each_delivery(hub: Hub, told: Told):
    sent = await hub.send("a", sender="asker", type="request")
    await hub.inject("a", sent.deliveries[0].id)
    await hub.resolve("a", "a1", "delivered", turnId="t")
    told.since()
    given = {"turnId": "t", "status": "completed", "agentId": "a", "epoch": hub.epochs["a"]}
    own = {**given, "startedBy": "a1", "shared": False, "finalText": "it is Sunday"}
    await hub.service.deliveries.report_turn(AttemptId("a1"), as_body(TurnReport, own), USER)

    receipt = told.one()
    assert (receipt.turn_status, receipt.answer) == ("completed", "answered")


async def test_who_takes_work_gives_it_back_and_ends_it_is_told(hub: Hub, told: Told):
    sent = await hub.send("tag:t", "do it", sender="asker", claimable=True)
    claims = hub.service.claims
    seen: list[tuple[str, str | None, str | None]] = []

    def look() -> None:
        receipt = told.one()
        shown = None if receipt.claim is None else str(receipt.claim)
        seen.append((receipt.agent_id, receipt.reason, shown))

    await claims.take(sent.id, hub.claiming("a"), USER)
    look()
    await claims.release(sent.id, hub.claiming("a"), USER)
    look()
    await claims.take(sent.id, hub.claiming("b"), USER)
    look()
    assert (await view(hub, sent.id)).claim == "held"
    await claims.complete(sent.id, hub.claiming("b"), USER)
    look()

    assert seen == [
        ("a", None, "held"),
        ("a", "released", None),
        ("b", None, "held"),
        ("b", "read", "done"),
    ]
    shown = await view(hub, sent.id)
    assert (shown.claim, shown.claimed_by) == ("done", "b")


@pytest.mark.parametrize("how", ["release", "lapse"])
async def test_work_that_comes_back_from_a_session_is_told(hub: Hub, told: Told, how: str):
    sent = await hub.send("tag:t", "do it", sender="asker", claimable=True)
    await hub.service.claims.take(sent.id, hub.claiming("a"), USER)
    await hub.inject("a", (await hub.delivery(sent.id, "a")).id)
    await hub.resolve("a", "a1", "delivered", turnId="t")
    told.since()
    if how == "release":
        await hub.service.claims.release(sent.id, hub.claiming("a"), USER)
    else:
        await hub.wait(61)

    receipt = told.one()
    assert (receipt.agent_id, receipt.state, receipt.claim) == ("a", S.DELIVERED, None)
    assert (await view(hub, sent.id)).claim == "open"


async def test_nothing_that_was_rolled_back_is_told(hub: Hub, told: Told):
    sent = await hub.send("a", sender="asker", claimable=True)
    with pytest.raises(Exception, match="does not hold"):
        await hub.service.claims.complete(sent.id, hub.claiming("b"), USER)

    assert told.since() == []


async def test_going_away_and_coming_back_is_not_pushed(hub: Hub, told: Told):
    await hub.send("a", sender="asker")
    await hub.wait(HEARTBEAT_S + 1)
    await hub.register("a", tags=["t"])

    assert told.since() == []
