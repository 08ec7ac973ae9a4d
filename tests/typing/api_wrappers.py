"""Every decision that can be wrapped, wrapped; hooks that take few arguments or are optional."""

from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from relay_core import (
    DeliveryPlan,
    Message,
    Prompt,
    Registration,
    RegistrationPatch,
    Relay,
    RelayEvent,
    Session,
    Verdict,
    hookimpl,
)


class Wrapping:
    """A hook that collects gives its wrapper a list, one that stops at an answer that answer."""

    @hookimpl(wrapper=True)
    def on_register(
        self, registration: Registration
    ) -> Generator[None, list[RegistrationPatch], list[RegistrationPatch]]:
        patches = yield
        return [*patches, RegistrationPatch(tags=(registration.rig,))]

    @hookimpl(wrapper=True)
    def on_message(
        self, message: Message
    ) -> Generator[None, list[Verdict | None], list[Verdict | None]]:
        verdicts = yield
        return [] if message.urgent else verdicts

    @hookimpl(wrapper=True)
    def on_claim(self) -> Generator[None, list[bool | None], list[bool | None]]:
        return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def choose_delivery(
        self, session: Session
    ) -> Generator[None, DeliveryPlan | None, DeliveryPlan | None]:
        plan = yield
        return plan if session.attended else DeliveryPlan.wait("nobody is there")

    @hookimpl(wrapper=True)
    def format_prompt(self) -> Generator[None, Prompt, Prompt]:
        try:
            return (yield)
        except ValueError:
            return Prompt(parts=())

    @hookimpl(wrapper=True)
    def format_context(self) -> Generator[None, str | None, str | None]:
        text = yield
        return f"{text or ''}\nBe brief."


class Modest:
    """Only the arguments that are used, in any order; a hook that an older relay does not have."""

    @hookimpl
    def choose_delivery(self) -> DeliveryPlan:
        return DeliveryPlan.start()

    @hookimpl
    def format_prompt(self, plan: DeliveryPlan, messages: Sequence[Message]) -> Prompt | None:
        return Prompt(header=plan.reason or "", parts=()) if not messages else None

    @hookimpl
    def start(self, relay: Relay) -> AbstractAsyncContextManager[None] | None:
        return nullcontext() if relay.table else None

    @hookimpl
    async def on_event(self, event: RelayEvent) -> None: ...

    @hookimpl(optionalhook=True)
    def on_weather(self, session: Session) -> None: ...
