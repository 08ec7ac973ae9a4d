"""What `on_event` observers see, after the fact."""

from __future__ import annotations

from relay_core.messages import AgentId, DeliveryId, MessageId, Struct, TurnStatus


class RelayEvent(Struct, tag_field="type"):
    """Something that happened in this host; `at_ms` is milliseconds since the Unix epoch."""

    at_ms: int
    agent_id: AgentId


class DeliveryEvent(RelayEvent):
    """Something that happened to one delivery."""

    delivery_id: DeliveryId
    message_id: MessageId


class Registered(RelayEvent, tag="registered"):
    """A session registered, or registered again."""

    epoch: int


class Arrived(DeliveryEvent, tag="arrived"):
    """A delivery reached this host."""


class WasHeld(DeliveryEvent, tag="held"):
    """A delivery is kept for later."""

    reason: str
    until_ms: int | None = None


class WasSkipped(DeliveryEvent, tag="skipped"):
    """A delivery will not be shown to this session."""

    reason: str


class Delivered(DeliveryEvent, tag="delivered"):
    """The session's own history shows the message."""

    turn_id: str | None = None


class TurnEnded(RelayEvent, tag="turn_ended"):
    """A turn that carried deliveries ended."""

    turn_id: str
    status: TurnStatus
    message_ids: tuple[MessageId, ...] = ()


class ReplySent(RelayEvent, tag="reply_sent"):
    """An agent's answer went out."""

    message_id: MessageId
    reply_to: MessageId


class Fenced(RelayEvent, tag="fenced"):
    """Another instance took this agent over; this host stopped acting for it."""

    epoch: int


class AttemptFailedEvent(DeliveryEvent, tag="attempt_failed"):
    """An agent refused an input."""

    reason: str


class PluginFailed(RelayEvent, tag="plugin_failed"):
    """A plugin raised, hung or answered with the wrong type; the built-in answer was used."""

    plugin: str
    hook: str
    detail: str


def messages_of(event: RelayEvent) -> tuple[MessageId, ...]:
    """Name the messages that an event is about."""
    match event:
        case DeliveryEvent() | ReplySent():
            return (event.message_id,)
        case TurnEnded():
            return event.message_ids
        case _:
            return ()
