"""How a command ends: exit codes, and every error as one line that says what to do.

0 done · 1 refused or failed · 2 usage · 3 hub or host not reachable · 4 store or configuration
damaged · 5 not proved or timed out · 130 interrupted.
"""

from __future__ import annotations

import enum
from typing import cast

from relay_core.errors import HubRefused, HubUnreachable, RelayError, SettingsError, WireError
from relay_core.messages import Struct

DEBUG_VARIABLE = "AGENT_RELAY_DEBUG"
"""Set to 1, it shows the traceback of an error, and the demo keeps its folder."""


class ExitCode(enum.IntEnum):
    """What the exit status of every command means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DAMAGED = 4
    NOT_PROVED = 5
    INTERRUPTED = 130


class Usage(RelayError):
    """The command was typed wrongly."""

    code = "usage"


class Failed(RelayError):
    """The command could not do its work."""

    code = "failed"


class NotProved(RelayError):
    """Something was done, but nothing shows that it arrived."""

    code = "not_proved"


class TimedOut(RelayError):
    """What was waited for did not happen in time; it may still happen."""

    code = "timed_out"


class EndedAtOnce(RelayError):
    """What was started in the background ended; its exit status becomes this command's."""

    code = "ended"

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Damaged(RelayError):
    """A file that commands rely on is damaged, unreadable or not ours."""

    code = "damaged"


_BY_TYPE: tuple[tuple[type[RelayError], ExitCode], ...] = (
    (Usage, ExitCode.USAGE),
    (HubUnreachable, ExitCode.UNREACHABLE),
    (NotProved, ExitCode.NOT_PROVED),
    (TimedOut, ExitCode.NOT_PROVED),
    (Damaged, ExitCode.DAMAGED),
    (SettingsError, ExitCode.DAMAGED),
)
# What the host answers arrives with its code alone; its modules are slow to import for their types.
_BY_CODE = {
    "usage": ExitCode.USAGE,
    "host_unreachable": ExitCode.UNREACHABLE,
    "hub_unreachable": ExitCode.UNREACHABLE,
    "settings_error": ExitCode.DAMAGED,
    "store_damaged": ExitCode.DAMAGED,
    "store_error": ExitCode.DAMAGED,
    "store_failed": ExitCode.DAMAGED,
    "store_too_new": ExitCode.DAMAGED,
    "store_unsafe": ExitCode.DAMAGED,
    "timed_out": ExitCode.NOT_PROVED,
}


_PROGRAMS = ("agent-relay ", "agent-relay-codex ")


class ErrorReport(Struct):
    """What `--json` shows of an error."""

    code: str
    detail: str
    fix: str | None = None


class Problem(Struct):
    """An error as a command reports it."""

    error: ErrorReport
    exit_code: int

    @property
    def line(self) -> str:
        """Tell what went wrong and what mends it."""
        fix = self.error.fix
        if fix is None:
            return self.error.detail
        return f"{self.error.detail} — {_as_advice(fix)}"


def problem_of(error: RelayError) -> Problem:
    """Decide how an error of the project's own ends a command."""
    report = ErrorReport(code=error.code, detail=error.detail, fix=error.fix or _usual_fix(error))
    return Problem(error=report, exit_code=_exit_code(error))


def alone(error: Exception) -> Exception:
    """Take the one error out of a task group's wrapping; a group of several stays as it is."""
    parts = parts_of(error)
    return parts[0] if len(parts) == 1 else error


def parts_of(error: Exception) -> tuple[Exception, ...]:
    """List the errors of a group, of groups inside it too; of no group, the error itself."""
    if not isinstance(error, ExceptionGroup):
        return (error,)
    group = cast("ExceptionGroup[Exception]", error)
    return tuple(part for each in group.exceptions for part in parts_of(each))


def _as_advice(fix: str) -> str:
    """Show a fix that is a command as one."""
    return f"run `{fix}`" if fix.startswith(_PROGRAMS) and "`" not in fix else fix


def _exit_code(error: RelayError) -> int:
    if isinstance(error, EndedAtOnce):
        return error.status if error.status in set(ExitCode) else ExitCode.FAILED
    for kind, exit_code in _BY_TYPE:
        if isinstance(error, kind):
            return exit_code
    return _BY_CODE.get(error.code, ExitCode.FAILED)


def _usual_fix(error: RelayError) -> str | None:
    """Say what usually mends an error that brought no advice of its own."""
    match error:
        case HubUnreachable():
            return "agent-relay up --detach"
        case HubRefused(status=401):
            return "set AGENT_RELAY_TOKEN to this hub's token, or unset it to use the token file"
        case HubRefused(status=429, retry_after_s=int(seconds)):
            return f"try again in {seconds} s"
        case WireError():
            return "check with `agent-relay status` that both sides run the same version"
        case _:
            return None
