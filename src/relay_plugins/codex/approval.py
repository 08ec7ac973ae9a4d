"""What a session may do without asking: our three words for Codex's approval policy and sandbox."""

# Rule 1: the mode that others are shown is what the session really has, not what somebody declared.
# Rule 2: the app-server tells approval and sandbox to subscribers alone, and we are none. What each
#         turn ran with stands in the thread's rollout file; before the first turn nothing is known.
# Rule 3: a combination that is none of the three is shown by Codex's own two words.

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from relay_core import SettingsError, Struct
from relay_plugins.codex.rollout import read_tail

TAIL_BYTES = 1024 * 1024
"""How far back from its end a rollout file is searched for the newest turn."""


class Flags(Struct):
    """Codex's own words for a mode."""

    approval: str
    sandbox: str

    def arguments(self) -> tuple[str, ...]:
        """The command-line flags that ask Codex for it."""
        return ("-s", self.sandbox, "-a", self.approval)


MODES: dict[str, Flags] = {
    "open": Flags(approval="never", sandbox="danger-full-access"),
    "guarded": Flags(approval="on-request", sandbox="workspace-write"),
    "read-only": Flags(approval="never", sandbox="read-only"),
}


SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
"""From the narrowest to the widest."""


def is_wider(sandbox: str, asked: str) -> bool:
    """Whether a sandbox lets more through than the one that is asked for; one that is not known
    does."""
    if sandbox not in SANDBOXES or asked not in SANDBOXES:
        return sandbox != asked
    return SANDBOXES.index(sandbox) > SANDBOXES.index(asked)


class _Sandbox(msgspec.Struct, frozen=True):
    type: str = ""


class _TurnContext(msgspec.Struct, frozen=True):
    approval_policy: str = ""
    sandbox_policy: _Sandbox = _Sandbox()


class _Line(msgspec.Struct, frozen=True):
    type: str = ""
    timestamp: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"{}")


def flags_for(mode: str) -> Flags:
    """The flags of a mode; SettingsError for a word that is none."""
    try:
        return MODES[mode]
    except KeyError:
        raise SettingsError(
            f"{mode!r} is no approval mode", fix=f"use one of {', '.join(MODES)}"
        ) from None


def mode_of(approval: str, sandbox: str) -> str:
    """Our word for what a session runs with, or Codex's own two."""
    for mode, flags in MODES.items():
        if (flags.approval, flags.sandbox) == (approval, sandbox):
            return mode
    return f"{sandbox}/{approval}"


def read_mode(rollout: Path, since_ms: int = 0) -> str | None:
    """The mode of the newest turn in a rollout file, as `read_flags` reads it."""
    flags = read_flags(rollout, since_ms)
    return None if flags is None else mode_of(flags.approval, flags.sandbox)


def read_flags(rollout: Path, since_ms: int = 0) -> Flags | None:
    """What the newest turn in a rollout file ran with; None when the file does not tell.

    `since_ms`: of a turn before this moment nothing is known, because it ran in another terminal.

    Reads at most the last mebibyte. Its format is Codex's own and may change: what cannot be read
    is not known, which is no error.
    """
    for raw in reversed(read_tail(rollout, TAIL_BYTES)):
        if b'"turn_context"' not in raw:
            continue
        try:
            line = msgspec.json.decode(raw, type=_Line)
            if line.type != "turn_context":
                continue
            if _time_ms(line.timestamp) < since_ms:
                return None
            context = msgspec.json.decode(line.payload, type=_TurnContext)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        if context.approval_policy and context.sandbox_policy.type:
            return Flags(approval=context.approval_policy, sandbox=context.sandbox_policy.type)
    return None


def _time_ms(timestamp: str) -> float:
    """A moment as a rollout tells it, in milliseconds since the Unix epoch; late if unreadable."""
    try:
        return datetime.fromisoformat(timestamp).timestamp() * 1000
    except ValueError:
        return float("inf")
