from relay_plain_prompt import format_prompt

from relay_core import (
    Activity,
    AgentId,
    DeliveryPlan,
    Message,
    MessageId,
    Mode,
    Sender,
    Session,
)

SESSION = Session(
    id=AgentId("codex-shop-1"),
    adapter="codex",
    thread_id="t",
    now=0,
    activity=Activity.AT_REST,
)


def message(number: int, subject: str | None = None) -> Message:
    return Message(
        id=MessageId(number),
        from_=AgentId("builder"),
        to="codex-shop-1",
        subject=subject,
        body="the build is green",
        sender=Sender(id=AgentId("builder"), label="the builder"),
        created_at=0,
    )


def test_each_message_is_shown_with_its_sender_its_number_and_its_subject():
    messages = [message(1), message(2, "build")]
    prompt = format_prompt(messages, SESSION, DeliveryPlan.start())

    assert prompt is not None
    assert prompt.header == "Mail from other agents:"
    assert [part.message_id for part in prompt.parts] == [1, 2]
    assert dict(prompt.parts[1].header) == {
        "From": "the builder",
        "Message": "2",
        "Subject": "build",
    }
    assert "--from codex-shop-1" in prompt.footer


def test_a_digest_is_left_to_the_next_plugin():
    digest = DeliveryPlan(mode=Mode.START, digest=True)

    assert format_prompt([message(1)], SESSION, digest) is None
