"""Handing an attempt to Codex, and what its refusals mean."""

# Rule 1: threadId, input and clientUserMessageId are all that is ever sent (and expectedTurnId with
#         a steer): approval, sandbox, model and cwd would stick to the user's later turns.
# Rule 2: a refusal says that nothing was taken. What it means is read from its text, because nearly
#         all have one code.
# Rule 3: no answer is no refusal: it is told apart, so that the history is asked before all else.

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay_core import (
    AdapterError,
    Injection,
    InjectionRefused,
    Mode,
    SessionGone,
    SessionMoved,
)
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.client import CallRefused, Connection
from relay_plugins.codex.wire import (
    CLIENT_ID_PREFIX,
    RpcError,
    TextInput,
    TurnStartParams,
    TurnStartResult,
    TurnSteerParams,
    TurnSteerResult,
)

MAX_CHARACTERS = 1_048_576
"""The longest input that Codex takes, in characters."""

OVERLOADED = -32001
OVERLOAD_WAITS_S = (0.05, 0.1, 0.2)
"""When to try again while Codex says that it is overloaded."""

_TOO_LARGE = ("input_too_large", "exceeds the maximum length")
_GONE = ("thread not found", "thread not loaded", "no rollout found", "is archived")
_DRAINING = ("is draining", "serverShuttingDown")
_UNSTEERABLE = ("cannot steer", "ActiveTurnNotSteerable", "activeTurnNotSteerable")
_MOVED = (
    "no active turn",
    "expected active turn id",
    "already has an active writer",
    "not initialized",
    "pending turn",
)


async def hand_over(
    connection: Connection,
    injection: Injection,
    expected_turn: str | None,
    *,
    still_wanted: Callable[[], bool],
) -> str:
    """Send one injection; answer the turn that took it.

    While Codex says that it is overloaded it is asked again a few times, as long as the session is
    still what it was. Raises what `Connection.call` does.
    """
    for wait in OVERLOAD_WAITS_S:
        try:
            return await _send(connection, injection, expected_turn)
        except CallRefused as refused:
            if not is_overloaded(refused.error):
                raise
            await asyncio.sleep(wait)
            if not still_wanted():
                raise
    return await _send(connection, injection, expected_turn)


async def _send(connection: Connection, injection: Injection, expected_turn: str | None) -> str:
    text = (TextInput(text=injection.text),)
    client_id = CLIENT_ID_PREFIX + injection.id
    if injection.mode is Mode.STEER:
        steer = TurnSteerParams(
            thread_id=injection.key,
            input=text,
            client_user_message_id=client_id,
            expected_turn_id=expected_turn or "",
        )
        return (await connection.call("turn/steer", steer, TurnSteerResult)).turn_id
    start = TurnStartParams(thread_id=injection.key, input=text, client_user_message_id=client_id)
    return (await connection.call("turn/start", start, TurnStartResult)).turn.id


async def have_it_read(connection: Connection, thread_id: str) -> str:
    """Start a turn with no message, in which the model reads what the thread has got; answer it.

    Raises what `Connection.call` does: CallRefused also where a turn is running, which reads it.
    """
    start = TurnStartParams(thread_id=thread_id, input=())
    return (await connection.call("turn/start", start, TurnStartResult)).turn.id


def is_overloaded(error: RpcError) -> bool:
    """Whether Codex asks to try again a little later."""
    return error.code == OVERLOADED


def is_draining(error: RpcError) -> bool:
    """Whether Codex is about to end and takes nothing any more."""
    return _says(error, _DRAINING)


def is_unsteerable(error: RpcError) -> bool:
    """Whether the running turn takes no input, now or later (a review, a compaction)."""
    return _says(error, _UNSTEERABLE)


def meaning_of(refused: CallRefused) -> AdapterError:
    """What a refusal of an injection means to the caller."""
    error = refused.error
    detail = refused.detail.removeprefix(f"{ADAPTER}: ")
    if _says(error, _TOO_LARGE):
        return InjectionRefused(ADAPTER, detail, permanent=True)
    if _says(error, _GONE):
        return SessionGone(ADAPTER, detail)
    if is_overloaded(error) or is_draining(error) or is_unsteerable(error) or _says(error, _MOVED):
        return SessionMoved(ADAPTER, detail)
    return InjectionRefused(ADAPTER, detail)


def _says(error: RpcError, words: tuple[str, ...]) -> bool:
    text = error.message + bytes(error.data).decode(errors="replace")
    return any(each in text for each in words)
