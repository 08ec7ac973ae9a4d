"""Handing an attempt to Codex, and what its refusals mean."""

# Rule 1: threadId, input and clientUserMessageId are all that is ever sent (and expectedTurnId with a
#         steer): approval, sandbox, model and cwd would stick to the user's later turns.
# Rule 2: a refusal says that nothing was taken. What it means is read from its text, because nearly
#         all have one code.
# Rule 3: no answer is no refusal: it is told apart, so that the history is asked before anything else.

from __future__ import annotations

from relay_core import AdapterError, InjectionRefused, SessionGone, SessionMoved
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.client import CallRefused
from relay_plugins.codex.wire import RpcError

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
