"""Mistakes that a plugin author's type checker must find; each line says that it does."""

# pyright: enableTypeIgnoreComments=false, reportUnnecessaryTypeIgnoreComment=true

from relay_core import DeliveryPlan, Message, Part, Prompt, Session, Verdict


def shouting(message: Message) -> Verdict:
    message.body = message.body.upper()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    return Verdict.skip(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hurried(session: Session) -> DeliveryPlan:
    later = session.now + "1"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    return DeliveryPlan.wait("later", until=later)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def forgetful(message: Message) -> Prompt:
    return Prompt(parts=(Part(body=message.body),))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
