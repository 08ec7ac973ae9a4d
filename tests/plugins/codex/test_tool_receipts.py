"""What the tools show a model of what became of its own messages."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace

from relay_core import (
    OPERATOR,
    ActingAgent,
    AgentId,
    AnswerState,
    Delivery,
    DeliveryId,
    DeliveryState,
    MessageId,
    MessageView,
    Sender,
    TurnStatus,
)
from relay_core.messages import RequestAnswer
from relay_plugins.codex.tools import mail
from relay_plugins.codex.tools.tool import Call

ME, OTHER = AgentId("me"), AgentId("other")


class Mailbox:
    """As much of an acting agent as reading needs."""

    agent_id = ME

    def __init__(self, *views: MessageView) -> None:
        self.views = views

    async def message(self, message_id: int) -> MessageView:
        return next(each for each in self.views if each.id == message_id)

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        return tuple(each for each in self.views if each.id > since)


def view(number: int, sender: AgentId, *deliveries: Delivery) -> MessageView:
    return MessageView(
        id=MessageId(number), from_=sender, to="all", body="b", sender=Sender(id=sender),
        created_at=0, deliveries=deliveries,
    )  # fmt: skip


def delivery(agent: str, **fields: Any) -> Delivery:
    return Delivery(
        id=DeliveryId(1), message_id=MessageId(1), agent_id=AgentId(agent), seq=1, **fields
    )


async def read(box: Mailbox, **given: Any) -> mail.InboxOutput:
    call = Call(agent=cast("ActingAgent", box))
    return (await mail.inbox(call, mail.InboxInput(message_id=1, **given))).value


async def test_of_its_own_message_a_model_sees_what_became_of_it():
    answer = RequestAnswer(state=AnswerState.ANSWERED, reply_id=MessageId(7))
    ended = delivery(
        "a", state=DeliveryState.DELIVERED, turn_status=TurnStatus.COMPLETED, answer=answer
    )
    box = Mailbox(view(1, ME, ended, delivery("b", away=True)))
    (shown,) = (await read(box)).messages

    assert shown.receipts == (
        mail.Receipt(
            agent_id="a",
            told="delivered; its turn has ended; answered by message 7",
            state=DeliveryState.DELIVERED,
            reason="",
            away=False,
            turn="completed",
            answer=7,
        ),
        mail.Receipt(
            agent_id="b",
            told="waits for its session; away now",
            state=DeliveryState.QUEUED,
            reason="",
            away=True,
            turn="",
            answer=0,
        ),
    )
    assert (shown.recipients, shown.receipts_next) == (2, 0)


async def test_of_anothers_message_it_sees_no_receipts():
    (shown,) = (await read(Mailbox(view(1, OTHER, delivery(ME))))).messages

    assert (shown.recipients, shown.receipts) == (0, ())


async def test_of_an_edited_message_it_sees_who_edited_it():
    sent = view(1, OTHER, delivery("me"))
    (shown,) = (await read(Mailbox(replace(sent, edited_by=OPERATOR)))).messages
    (plain,) = (await read(Mailbox(sent))).messages

    assert (shown.edited_by, plain.edited_by) == ("operator", "")


async def test_many_recipients_are_shown_a_page_at_a_time():
    box = Mailbox(view(1, ME, *(delivery(f"a{number}") for number in range(45))))
    seen: list[str] = []
    skip, first = 0, await read(box)
    while True:
        page = await read(box, skip=skip)
        (shown,) = page.messages
        seen += [each.agent_id for each in shown.receipts]
        assert len(shown.receipts) <= 20
        if not (skip := shown.receipts_next):
            break

    assert seen == [f"a{number}" for number in range(45)]
    assert "messageId=1 and skip=20" in first.note
    assert "more recipients" not in page.note


@pytest.mark.parametrize(("recipients", "shown", "following"), [(3, 3, 0), (45, 5, 5)])
async def test_a_conversation_shows_few_of_each(recipients: int, shown: int, following: int):
    own = view(1, ME, *(delivery(f"a{number}") for number in range(recipients)))
    box = Mailbox(own, view(2, OTHER, delivery(ME)))
    call = Call(agent=cast("ActingAgent", box))
    found = (await mail.thread(call, mail.ThreadInput(message_id=1))).value

    first, second = found.messages
    assert (first.recipients, len(first.receipts), first.receipts_next) == (
        recipients,
        shown,
        following,
    )
    assert second.receipts == ()
