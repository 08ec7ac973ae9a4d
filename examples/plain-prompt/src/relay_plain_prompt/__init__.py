"""Shows messages with a few plain words round them, for models that need no more."""

from __future__ import annotations

from collections.abc import Sequence

from relay_core import DeliveryPlan, Message, Part, Prompt, Session, hookimpl


@hookimpl
def format_prompt(
    messages: Sequence[Message], session: Session, plan: DeliveryPlan
) -> Prompt | None:
    """Write who says what; a digest is left to the built-in plugin."""
    if plan.digest:
        return None
    return Prompt(
        header="Mail from other agents:" if len(messages) > 1 else "Mail from another agent:",
        parts=tuple(map(_part, messages)),
        footer=f"Answer with: agent-relay send FROM TEXT --from {session.id} --reply-to MESSAGE",
    )


def _part(message: Message) -> Part:
    header = [("From", message.sender.label or message.from_), ("Message", str(message.id))]
    if message.subject:
        header.append(("Subject", message.subject))
    return Part(message_id=message.id, header=tuple(header), body=message.body)
