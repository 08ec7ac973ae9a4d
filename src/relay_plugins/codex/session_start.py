"""What Codex's SessionStart hook is answered: the text that a session is given when it starts."""

# Rule 1: the one key is the session's id. A hook runs with the environment of the process that
#         owns the thread, which is not that of the terminal whose session it is.
# Rule 2: Codex waits for its hook: there is an answer within WITHIN_S, whatever happens.
# Rule 3: Codex refuses a whole answer for one key that it does not know.

from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path

import msgspec

from relay_core import AdapterRegistrar, RelayError, SettingsError
from relay_plugins.codex.adapter import CodexAdapter, EndsWithItsTurn
from relay_plugins.codex.address import ADAPTER, check_thread_id

log = logging.getLogger("relay.codex")

EVENT = "SessionStart"
WITHIN_S = 1.4
SESSIONS = "sessions"
"""The folder below CODEX_HOME that holds the rollout files."""

NOT_CONNECTED = (
    "This session is not connected to Agent Relay yet: {why}. Messages of other agents reach it "
    "as soon as it is. To see what is wrong: agent-relay status"
)

TAKES_NO_MESSAGES = (
    "Agent Relay is installed here. This run of Codex ends with its turn, so no messages reach it; "
    "it can send some: agent-relay send TARGET TEXT (agent-relay agents lists the targets)."
)


class HookInput(msgspec.Struct, frozen=True):
    """What Codex writes to the hook's stdin, as far as it is read."""

    session_id: str
    hook_event_name: str
    transcript_path: str | None = None


class HookCall(msgspec.Struct, frozen=True):
    """The body of `codex.hook`: the hook's stdin, and the process that started the hook."""

    input: HookInput
    parent: int = 0


class _HookSpecific(msgspec.Struct, frozen=True, rename="camel"):
    additional_context: str
    hook_event_name: str = EVENT


class _HookOutput(msgspec.Struct, frozen=True, rename="camel"):
    """What the hook prints for Codex."""

    hook_specific_output: _HookSpecific


class SessionStart:
    """Answers `codex.hook`."""

    def __init__(self, adapter: CodexAdapter, register: AdapterRegistrar) -> None:
        self._adapter = adapter
        self._register = register

    async def __call__(self, body: msgspec.Raw) -> msgspec.Raw:
        """Answer one call; SettingsError or a decode error when it is none."""
        call = read_call(body)
        return output_of(await self._context(call))

    async def _context(self, call: HookCall) -> str:
        session = call.input.session_id
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._take_in(call)
                text = await self._register.context(ADAPTER, session, within_s=WITHIN_S)
        except TimeoutError:
            text = None
        except EndsWithItsTurn:
            return TAKES_NO_MESSAGES
        except RelayError as error:
            log.warning("no context for session %s: %s", session, error)
            return NOT_CONNECTED.format(why=" ".join(error.detail.split())[:200])
        if text is None:
            return NOT_CONNECTED.format(why=self._adapter.why_not_seen(session))
        return text

    async def _take_in(self, call: HookCall) -> None:
        rollout = _absolute(call.input.transcript_path)
        await self._adapter.started(
            call.input.session_id,
            codex_home=None if rollout is None else home_of(rollout),
            rollout=rollout,
            parent=call.parent,
        )


def read_call(body: msgspec.Raw) -> HookCall:
    """Read a call; SettingsError when it is not one of SessionStart for a thread."""
    call = msgspec.json.decode(body, type=HookCall)
    check_thread_id(call.input.session_id)
    if call.input.hook_event_name != EVENT:
        detail = f"{call.input.hook_event_name[:100]!r} is no hook of Agent Relay's"
        raise SettingsError(detail, fix="agent-relay-codex install")
    return call


def output_of(text: str) -> msgspec.Raw:
    """What the hook is to print."""
    specific = _HookSpecific(additional_context=text)
    return msgspec.Raw(msgspec.json.encode(_HookOutput(hook_specific_output=specific)))


def home_of(rollout: Path) -> Path | None:
    """The CODEX_HOME that a rollout file lies in; None where it is no folder of this user."""
    home = next((each.parent for each in rollout.parents if each.name == SESSIONS), None)
    if home is None or ".." in rollout.parts:
        return None
    try:
        found = home.stat()
    except OSError:
        return None
    return home if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() else None


def _absolute(path: str | None) -> Path | None:
    if path is None or "\0" in path or not Path(path).is_absolute():
        return None
    return Path(path)
