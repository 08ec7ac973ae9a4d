"""What a killed Codex leaves of a message: read by the model from then on, and shown by no list."""

# Rule 1: Codex writes a message down twice, for the model and then for the history (seen on 0.163
#         and 0.169, some 2 ms apart). Killed in between, it comes back with a message that the
#         history lacks and the model has: sent again, the model would read it twice.
# Rule 2: so it is taken back, with the turn that it began and that held nothing else.
# Rule 3: only where nothing can go with it: the thread is at rest and paginated, the turn is the
#         newest, and it has not one item. Whatever the user did since then stands.
# Rule 4: elsewhere it is left alone, and said. The message is sent again, and the model reads it
#         twice.

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from pathlib import Path

import msgspec

from relay_plugins.codex.client import Connection
from relay_plugins.codex.evidence import AT_REST
from relay_plugins.codex.history import PAGINATED, NoHistoryYet, items_of, read_thread, recent_turns
from relay_plugins.codex.rollout import read_tail
from relay_plugins.codex.wire import Empty, Thread, ThreadParams, ThreadRevertParams

TAIL_BYTES = 8 * 1024 * 1024
"""How far back from its end a rollout file is searched: several of the longest messages."""


class _Payload(msgspec.Struct, frozen=True):
    type: str = ""
    role: str = ""
    turn_id: str | None = None


class _Line(msgspec.Struct, frozen=True):
    type: str = ""
    payload: _Payload = _Payload()


def remnant_turn(lines: Iterable[bytes], marker: str) -> str | None:
    """The turn in which the model reads a message with this marker that the history lacks.

    `lines` are those of a rollout file, oldest first; what cannot be read means nothing.
    """
    turn: str | None = None
    found: str | None = None
    for raw in lines:
        try:
            line = msgspec.json.decode(raw, type=_Line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        turn = line.payload.turn_id or turn
        if marker.encode() not in raw:
            continue
        if line.type == "event_msg":
            return None
        if line.type == "response_item" and line.payload.role == "user":
            found = turn
    return found


class Remnant(enum.Enum):
    """What was left of a message, and what became of that."""

    NONE = enum.auto()
    TAKEN_BACK = enum.auto()
    STAYS = enum.auto()


async def take_back(connection: Connection, thread_id: str, marker: str) -> Remnant:
    """Take back what is left of a message, where that can be done.

    Raises what `Connection.call` does. Reverting subscribes whoever asks for it: that is undone.
    """
    thread = await read_thread(connection, thread_id)
    if thread is None or thread.path is None:
        return Remnant.NONE
    turn = remnant_turn(await asyncio.to_thread(read_tail, Path(thread.path), TAIL_BYTES), marker)
    if turn is None:
        return Remnant.NONE
    if not await _stands_alone(connection, thread, turn):
        return Remnant.STAYS
    params = ThreadRevertParams(thread_id=thread_id, before_turn_id=turn)
    try:
        await connection.call("thread/revert", params, Empty)
    finally:
        if connection.open:
            await connection.call("thread/unsubscribe", ThreadParams(thread_id=thread_id), Empty)
    return Remnant.TAKEN_BACK


async def _stands_alone(connection: Connection, thread: Thread, turn_id: str) -> bool:
    if thread.history_mode != PAGINATED:
        return False
    try:
        if await items_of(connection, thread.id, turn_id, most=1):
            return False
    except NoHistoryYet:
        return False
    turns = await recent_turns(connection, thread.id)
    if not turns or turns[0].id != turn_id or turns[0].running or turns[0].items:
        return False
    now = await read_thread(connection, thread.id)
    return now is not None and now.status.type in AT_REST
