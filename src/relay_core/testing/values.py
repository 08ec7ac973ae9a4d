"""A message and a session for tests, with everything that a test does not care about."""

from __future__ import annotations

from typing import Any

from relay_core.messages import AgentId, Message, MessageId, Sender
from relay_core.sessions import Abilities, Activity, Session, Steering

NOW_MS = 1_700_000_000_000
"""When the sample session's `now` is: 2023-11-14 22:13:20 UTC."""

ABLE = Abilities(steer=Steering.LIVE, interrupt=True)


def sample_message(number: int = 1, by: str = "builder", **fields: Any) -> Message:
    """A message by that agent to the sample session; `fields` are those of `Message`."""
    given: dict[str, Any] = {
        "to": "codex-demo-1",
        "body": f"body {number}",
        "sender": Sender(id=AgentId(by)),
        "created_at": NOW_MS,
        **fields,
    }
    return Message(id=MessageId(number), from_=AgentId(by), **given)


def sample_session(**fields: Any) -> Session:
    """A session at rest that can be steered and interrupted; `fields` are those of `Session`."""
    given: dict[str, Any] = {
        "adapter": "memory",
        "thread_id": "thread-1",
        "now": NOW_MS,
        "activity": Activity.AT_REST,
        "abilities": ABLE,
        "hub_url": "http://127.0.0.1:4850",
        **fields,
    }
    return Session(id=AgentId("codex-demo-1"), **given)
