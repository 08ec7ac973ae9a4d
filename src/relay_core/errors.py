"""What can go wrong, and whose fault it is.

    RelayError
    ├── PluginError            a plugin's: names the plugin
    │   └── PluginConflict     two plugins want the same name
    ├── AdapterError           an adapter's, or the agent's behind it: names the adapter
    │   ├── SessionMoved       the session is no longer in the state that the plan was made for
    │   ├── SessionGone        the session is not there any more
    │   └── InjectionRefused   the agent said no, and why
    ├── HubError               the hub's: said no, or could not be asked
    │   ├── HubRefused         an answer with a status and a stable code
    │   │   └── StaleEpoch     another instance took this agent over: stop
    │   └── HubUnreachable     no answer
    │       └── SocketsForbidden   this process may open no socket: a sandbox
    ├── WireError              the other side sent what cannot be understood
    ├── SettingsError          the user's configuration: file, line, reason
    └── IllegalTransition      ours: an event that the delivery machine does not allow

Every error has a stable `code` for programs and a `detail` of one line for people; `fix`, where
there is one, is the command or the change that mends it.
"""

from __future__ import annotations

import errno
from pathlib import Path


class RelayError(Exception):
    """The root of everything that this project raises on purpose."""

    code = "relay_error"

    def __init__(self, detail: str, *, fix: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix

    def __str__(self) -> str:
        return self.detail


class PluginError(RelayError):
    """A plugin could not be loaded, raised, hung, or answered with the wrong type."""

    code = "plugin_error"

    def __init__(self, plugin: str, detail: str, *, fix: str | None = None) -> None:
        super().__init__(f"plugin {plugin}: {detail}", fix=fix)
        self.plugin = plugin


class NobodyAnswered(PluginError):
    """A question that must have an answer got none; `plugin` is the one that answers by default."""

    code = "nobody_answered"


class PluginConflict(PluginError):
    """Two installed plugins, adapters or operations want the same name."""

    code = "plugin_conflict"


class AdapterError(RelayError):
    """An adapter, or the agent behind it, did not do what was asked."""

    code = "adapter_error"

    def __init__(self, adapter: str, detail: str, *, fix: str | None = None) -> None:
        super().__init__(f"{adapter}: {detail}", fix=fix)
        self.adapter = adapter


class SessionMoved(AdapterError):
    """The session left the state that the plan was made for; plan again, no attempt is counted."""

    code = "session_moved"


class SessionGone(AdapterError):
    """The session is not there any more; what waits for it stays at the hub."""

    code = "session_gone"


class InjectionRefused(AdapterError):
    """The agent refused this input.

    `permanent` tells whether the same input can ever be accepted.
    """

    code = "injection_refused"

    def __init__(self, adapter: str, detail: str, *, permanent: bool = False) -> None:
        super().__init__(adapter, detail)
        self.permanent = permanent


class HubError(RelayError):
    """The hub said no, or could not be asked."""

    code = "hub_error"


class HubRefused(HubError):
    """The hub answered with an error.

    `status` is the HTTP status, `code` the stable word of the answer, `retry_after_s` the seconds
    of its Retry-After header, `delivery_ids` the deliveries that it was refused for.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fix: str | None = None,
        retry_after_s: int | None = None,
        delivery_ids: tuple[int, ...] = (),
    ) -> None:
        super().__init__(detail, fix=fix)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.delivery_ids = delivery_ids


class StaleEpoch(HubRefused):
    """Another instance registered this agent; whoever sees this must stop acting for it."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, "stale_epoch", detail)


class HubUnreachable(HubError):
    """The hub gave no answer: not running, restarting, or the connection broke."""

    code = "hub_unreachable"


class SocketsForbidden(HubUnreachable):
    """The system lets this process open no socket: commands in an agent's sandbox get this."""

    code = "sockets_forbidden"

    def __init__(self) -> None:
        super().__init__(
            "this command may not open any socket, so it reaches neither hub nor host",
            fix="run it outside of the sandbox: in a terminal, or with the user's permission",
        )


def is_forbidden(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, is that a process may not open sockets."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, PermissionError) and seen.errno == errno.EPERM:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class WireError(RelayError):
    """The other side sent something that cannot be understood."""

    code = "wire_error"


class SettingsError(RelayError):
    """A setting, or a file of the user's, is wrong."""

    code = "settings_error"

    def __init__(
        self,
        detail: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        fix: str | None = None,
    ) -> None:
        where = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        super().__init__(where + detail, fix=fix)
        self.file = file
        self.line = line


class IllegalTransition(RelayError):
    """An event that the delivery machine does not allow in this state; nothing was changed."""

    code = "illegal_transition"

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"a delivery that is {state} cannot take {event}")
        self.state = state
        self.event = event
