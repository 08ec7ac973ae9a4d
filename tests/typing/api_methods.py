"""Every hook as a method of an instance, as a plugin with settings or state is written."""

import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import assert_type

import msgspec

from relay_core import (
    AdapterRegistrar,
    AgentId,
    Arrived,
    AttemptFailedEvent,
    Clock,
    Delivered,
    DeliveryId,
    DeliveryPlan,
    Environment,
    Fenced,
    HubRefused,
    HubUnreachable,
    Message,
    MessageId,
    Mode,
    Places,
    PluginFailed,
    Prompt,
    Registered,
    Registration,
    RegistrationPatch,
    Relay,
    RelayEvent,
    ReplySent,
    Ruling,
    SendRequest,
    Session,
    SettingsError,
    Struct,
    TurnEnded,
    TurnStatus,
    Verdict,
    WasHeld,
    WasSkipped,
    hookimpl,
)


class Settings(Struct):
    """The plugin's own table of config.toml."""

    greeting: str = "hello"
    quiet: tuple[str, ...] = ()


class Polite:
    """One method for each hook, with every annotation that the specs have."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._log = logging.getLogger(__name__)

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        assert_type(register.places, Places)
        assert_type(register.environ, Mapping[str, str])
        assert_type(register.clock, Clock)
        register.operation("polite.greet", self._greet)

    async def _greet(self, body: msgspec.Raw) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode([self._settings.greeting, bytes(body).decode()]))

    @hookimpl
    @asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        try:
            self._settings = msgspec.json.decode(relay.table, type=Settings)
        except msgspec.ValidationError as error:
            raise SettingsError(str(error), fix="see the plugin's README") from error
        try:
            await relay.annotate(DeliveryId(1), "polite", msgspec.Raw(b"true"))
            await relay.release(DeliveryId(1))
            response = await relay.send(SendRequest(to="operator", body=self._settings.greeting))
        except HubUnreachable:
            yield
            return
        except HubRefused as refused:
            assert_type((refused.status, refused.code), tuple[int, str])
            raise
        assert_type(response.id, MessageId)
        yield

    @hookimpl(tryfirst=True)
    def on_register(
        self, registration: Registration, environment: Environment
    ) -> RegistrationPatch | None:
        if environment.get("POLITE") is None or registration.launched:
            return None
        meta = {"polite": msgspec.Raw(b"1")}
        return RegistrationPatch(label="polite", capabilities=("greet",), meta=meta)

    @hookimpl(trylast=True)
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        verdict = Verdict.skip("quiet") if message.from_ in self._settings.quiet else None
        assert_type(verdict, Verdict | None)
        if verdict is not None:
            assert_type(verdict.ruling, Ruling)
        return verdict or (Verdict.deliver() if session.attended else None)

    @hookimpl
    def on_claim(self, message: Message, session: Session) -> bool | None:
        return None if message.channel in session.channels else False

    @hookimpl
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        if session.turn is None:
            return None
        if any(message.urgent for message in messages):
            return DeliveryPlan.interrupt(reason="urgent")
        return DeliveryPlan.steer(take=1)

    @hookimpl(specname="format_prompt", wrapper=True)
    def greeted(
        self, messages: Sequence[Message], session: Session, plan: DeliveryPlan
    ) -> Generator[None, Prompt, Prompt]:
        assert_type(plan.mode, Mode)
        prompt = yield
        words = f"{self._settings.greeting}, {session.label or session.id}: {len(messages)}"
        return msgspec.structs.replace(prompt, header=words)

    @hookimpl
    def format_context(self, session: Session) -> str | None:
        return f"Be polite in {session.cwd}."

    @hookimpl
    def on_event(self, event: RelayEvent, session: Session | None) -> None:
        self._log.info("%s %s", told(event), session and session.label)


def told(event: RelayEvent) -> str:
    """Tell every kind of event from the others."""
    match event:
        case Registered(epoch=epoch) | Fenced(epoch=epoch):
            assert_type(epoch, int)
        case WasHeld(reason=reason, until_ms=until):
            assert_type(until, int | None)
            return reason
        case WasSkipped(reason=reason) | AttemptFailedEvent(reason=reason):
            return reason
        case Arrived(delivery_id=delivery_id) | Delivered(delivery_id=delivery_id):
            assert_type(delivery_id, DeliveryId)
        case TurnEnded(status=status, message_ids=ids):
            assert_type(ids, tuple[MessageId, ...])
            return "" if status is TurnStatus.COMPLETED else str(status)
        case ReplySent(reply_to=reply_to):
            assert_type(reply_to, MessageId)
        case PluginFailed(plugin=plugin, hook=hook, detail=detail):
            return f"{plugin} {hook} {detail}"
        case _:
            assert_type(event.agent_id, AgentId)
    return ""


polite = Polite()
"""What an entry point names: an instance, `polite_plugin:polite`."""
