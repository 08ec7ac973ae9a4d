"""Every hook, written as a plugin author would, with every annotation that the specs have."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import assert_type

import msgspec

from relay_core import (
    Abilities,
    Absent,
    ActingAgent,
    Activity,
    Adapter,
    AdapterRegistrar,
    AgentId,
    Attempt,
    AttemptId,
    DeliveryPlan,
    Evidence,
    Found,
    HandedOver,
    Injection,
    InjectionRefused,
    Message,
    MessageId,
    Mode,
    Operation,
    Part,
    Prompt,
    Proof,
    Provenance,
    Registration,
    RegistrationPatch,
    Relay,
    RelayEvent,
    Replying,
    Sender,
    SendRequest,
    SendResponse,
    Session,
    SessionChanged,
    SessionClosed,
    SessionEvent,
    SessionGone,
    SessionMoved,
    SessionSeen,
    SessionTurnEnded,
    Steering,
    Turn,
    TurnStatus,
    Unknown,
    Verdict,
    hookimpl,
)


@hookimpl
def on_register(
    registration: Registration, environment: Mapping[str, str]
) -> RegistrationPatch | None:
    assert_type(registration.thread_id, str | None)
    return RegistrationPatch(label=environment.get("LABEL"), tags=(registration.provider,))


@hookimpl
def on_message(message: Message, session: Session) -> Verdict | None:
    assert_type(message.sender, Sender)
    assert_type(message.meta, msgspec.Raw)
    if message.channel == "noise":
        return Verdict.skip("noise")
    return Verdict.hold("later", until_ms=session.now + 60_000) if message.urgent else None


@hookimpl
def on_claim(message: Message, session: Session) -> bool | None:
    return "review" in session.capabilities if message.to == "cap:review" else None


@hookimpl
def choose_delivery(messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
    if session.activity is Activity.IN_TURN:
        return DeliveryPlan.wait("busy")
    plan = DeliveryPlan.start(take=min(3, len(messages)))
    assert_type(plan.mode, Mode)
    return plan


@hookimpl(wrapper=True)
def format_prompt(messages: Sequence[Message]) -> Generator[None, Prompt, Prompt]:
    prompt = yield
    part = Part(message_id=messages[0].id, header=(("From", messages[0].from_),), body="x")
    return msgspec.structs.replace(prompt, header=f"{len(messages)} for you", parts=(part,))


@hookimpl
def format_context(session: Session) -> str | None:
    assert_type(session.id, AgentId)
    return f"You are {session.label}." if session.label else None


@hookimpl
async def on_event(event: RelayEvent, session: Session | None) -> None:
    assert_type(event.at_ms, int)


@hookimpl
@asynccontextmanager
async def start(relay: Relay) -> AsyncGenerator[None]:
    request = SendRequest(to="tag:reviewers", body="hello", reply_to=MessageId(1))
    assert_type(await relay.send(request), SendResponse)
    yield


class Silent:
    """The least that an adapter needs."""

    name = "silent"

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        for event in tuple[SessionEvent]():
            yield event

    def describe(self, key: str) -> Abilities:
        return Abilities()

    async def inject(self, injection: Injection) -> HandedOver:
        return HandedOver(turn_id=injection.turn_id)

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        return Found() if marker else Absent()

    async def interrupt(self, key: str, turn_id: str) -> None: ...

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        return ()

    async def detach(self, key: str) -> None: ...

    async def close(self) -> None: ...


class Talking(Silent):
    """An adapter that uses all that it may say."""

    name = "talking"

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        turn = Turn(id="t1", provenance=Provenance.UNKNOWN)
        yield SessionSeen(
            key="k", thread_id="t", cwd="/", provider="talk", activity=Activity.IN_TURN, turn=turn
        )
        yield SessionChanged(key="k", activity=Activity.AT_REST, sign_of_user=True)
        yield SessionTurnEnded(
            key="k",
            turn_id=turn.id,
            status=TurnStatus.COMPLETED,
            provenance=turn.provenance,
            attempts=(AttemptId("x"),),
        )
        yield SessionClosed(key="k")

    def describe(self, key: str) -> Abilities:
        return Abilities(
            steer=Steering.LIVE, interrupt=True, prove=Proof.BY_TEXT, reply=Replying.LINKED
        )

    async def inject(self, injection: Injection) -> HandedOver:
        match injection.mode:
            case Mode.STEER if injection.turn_id is None:
                raise SessionMoved(self.name, "there is no turn to steer")
            case Mode.INTERRUPT:
                raise InjectionRefused(self.name, "it never stops", permanent=True)
            case _:
                assert_type(injection.marker, str)
        if not injection.text:
            raise SessionGone(self.name, "it was closed", fix="open it again")
        return HandedOver(steered=injection.mode is Mode.STEER)

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        assert_type(attempt.id, AttemptId)
        return Unknown(why="it is asleep") if marker is None else Found(turn_id="t1")


@hookimpl
def register_adapters(register: AdapterRegistrar) -> None:
    adapters: tuple[Adapter, ...] = (Silent(), Talking())
    for adapter in adapters:
        register.adapter(adapter)

    async def answer(body: msgspec.Raw) -> msgspec.Raw:
        patch = await register.prepare(
            Registration(adapter="silent", provider="talk", cwd="/"), register.environ
        )
        assert_type(patch, RegistrationPatch)
        assert_type(await register.context("silent", "k", within_s=5), str | None)
        assert_type(await register.acting("silent", "k", within_s=5), ActingAgent | None)
        return body

    handler: Operation = answer
    register.operation("silent.echo", handler)
