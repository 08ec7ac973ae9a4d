"""Mistakes that a plugin author's type checker must find; each line says that it does."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Sequence

import msgspec

from relay_core import (
    Activity,
    Adapter,
    Delivered,
    DeliveryId,
    DeliveryPlan,
    HandedOver,
    Injection,
    Message,
    MessageId,
    Part,
    Prompt,
    RegistrationPatch,
    Relay,
    SendRequest,
    Session,
    SessionChanged,
    Verdict,
    hookimpl,
)


def shouting(message: Message) -> Verdict:
    message.body = message.body.upper()  # type: ignore[misc]
    return Verdict.skip(7)  # type: ignore[arg-type]


def hurried(session: Session) -> DeliveryPlan:
    later = session.now + "1"  # type: ignore[operator]
    return DeliveryPlan.wait("later", until=later)  # type: ignore[call-arg]


def forgetful(message: Message) -> Prompt:
    return Prompt(parts=(Part(body=message.body),))  # type: ignore[call-arg]


def meddling(session: Session) -> None:
    session.policy.strategy = "mine"  # type: ignore[misc]
    session.tags += ("mine",)  # type: ignore[misc]
    session.activity = Activity.IN_TURN  # type: ignore[misc]


@hookimpl
def on_claim(message: Message) -> bool | None:
    return "yes"  # type: ignore[return-value]


@hookimpl
def choose_delivery(messages: Sequence[Message]) -> DeliveryPlan | None:
    messages.append(messages[0])  # type: ignore[attr-defined]
    return DeliveryPlan.start(take="all")  # type: ignore[arg-type]


@hookimpl
def on_register() -> RegistrationPatch | None:
    return RegistrationPatch(tags="web")  # type: ignore[arg-type]


@hookimpl(wraper=True)  # type: ignore[call-overload,untyped-decorator]
def format_context(session: Session) -> str | None:
    return session.lable  # type: ignore[attr-defined,no-any-return]


async def start(relay: Relay) -> None:
    await relay.annotate(DeliveryId(1), "lang", {"is": "de"})  # type: ignore[arg-type]
    await relay.release(MessageId(1))  # type: ignore[arg-type]
    await relay.send(SendRequest(body="to nobody"))  # type: ignore[call-arg]
    relay.table["greeting"]  # type: ignore[call-overload]
    relay.sessions()  # type: ignore[attr-defined]


class Unfinished:
    """An adapter that cannot prove anything."""

    name = "unfinished"

    async def inject(self, injection: Injection) -> HandedOver:
        return HandedOver(turn=injection.turn_id)  # type: ignore[call-arg]


unfinished: Adapter = Unfinished()  # type: ignore[assignment]
changed = SessionChanged(key="k")  # type: ignore[call-arg]
event = Delivered(at_ms=1, message_id=MessageId(1))  # type: ignore[call-arg]
number: MessageId = 7  # type: ignore[assignment]
patched = msgspec.structs.replace(Verdict.deliver(), reason=1).reason + 1  # type: ignore[operator]
