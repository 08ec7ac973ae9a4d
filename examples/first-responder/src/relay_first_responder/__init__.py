"""Lets the session that has the least to do, in the project that it is about, claim work first."""

# Rule 1: a hold delays and never refuses: when it ends, nobody else wanted the work.
# Rule 2: the time counts from when the message was sent, so that all sessions wait from the same
#         moment, and one that asks again does not begin anew.
# Rule 3: `on_claim` is for what does not change with time: a session that says no is not asked
#         again.
# Rule 4: work that was sent to one session is not routed.

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import PurePath
from typing import Annotated

import msgspec

from relay_core import Activity, Message, Relay, Session, Verdict, hookimpl

REASON = "others_first"

Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.first-responder]` of config.toml."""

    per_claim_s: Seconds = 2.0
    busy_s: Seconds = 3.0
    elsewhere_s: Seconds = 10.0
    at_most_s: Seconds = 30.0
    never_tags: tuple[str, ...] = ()


class _Meta(msgspec.Struct):
    """What is looked at of the sender's own JSON."""

    project: str | None = None


class FirstResponder:
    """The plugin."""

    def __init__(self) -> None:
        self._table = Table()

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Read the table."""
        self._table = msgspec.json.decode(relay.table, type=Table)
        yield

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Hold work for a moment where others should have it first."""
        if not message.claimable or message.to == session.id:
            return None
        until_ms = message.created_at + int(self._patience_s(message, session) * 1000)
        return Verdict.hold(REASON, until_ms) if session.now < until_ms else None

    @hookimpl
    def on_claim(self, session: Session) -> bool | None:
        """Claim nothing for sessions that take no work."""
        return False if set(session.tags) & set(self._table.never_tags) else None

    def _patience_s(self, message: Message, session: Session) -> float:
        table = self._table
        waits_s = session.claims * table.per_claim_s
        if session.activity is not Activity.AT_REST:
            waits_s += table.busy_s
        if _project(message) not in {None, PurePath(session.cwd).name}:
            waits_s += table.elsewhere_s
        return min(waits_s, table.at_most_s)


def _project(message: Message) -> str | None:
    """The project that the message names; what a sender writes there may be anything."""
    try:
        return msgspec.json.decode(message.meta, type=_Meta).project
    except msgspec.MsgspecError:  # then it names no project; that is no fault of the message
        return None


plugin = FirstResponder()
