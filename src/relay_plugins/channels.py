"""Channels: a session that subscribes to some is not shown what is sent on others."""

from __future__ import annotations

from collections.abc import Collection

from relay_core import Message, Session, Verdict, hookimpl


def subscribed(channel: str | None, channels: Collection[str]) -> bool:
    """Tell whether a message on this channel is for a session with these subscriptions.

    Without any subscription a session hears everything, and a message without a channel is heard by
    all; otherwise the names must be the same, letter for letter.
    """
    return not channels or not channel or channel in channels


@hookimpl(trylast=True)
def on_message(message: Message, session: Session) -> Verdict | None:
    """Skip what is on a channel that the session does not subscribe to; the sender sees that."""
    if subscribed(message.channel, session.channels):
        return None
    return Verdict.skip("channel")
