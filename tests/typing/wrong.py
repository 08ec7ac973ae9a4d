"""Mistakes that a plugin author's type checker must find; each line says that it does."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from relay_core import DeliveryPlan, Message, Part, Prompt, Session, Verdict


def shouting(message: Message) -> Verdict:
    message.body = message.body.upper()  # type: ignore[misc]
    return Verdict.skip(7)  # type: ignore[arg-type]


def hurried(session: Session) -> DeliveryPlan:
    later = session.now + "1"  # type: ignore[operator]
    return DeliveryPlan.wait("later", until=later)  # type: ignore[call-arg]


def forgetful(message: Message) -> Prompt:
    return Prompt(parts=(Part(body=message.body),))  # type: ignore[call-arg]
