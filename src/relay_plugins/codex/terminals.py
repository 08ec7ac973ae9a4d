"""The terminals that `agent-relay-codex start` opened on an app-server, and whose threads are."""

from __future__ import annotations

import os
from collections.abc import Iterator

from relay_core import Struct
from relay_plugins.codex.wire import Thread


class Launch(Struct):
    """A terminal that `agent-relay-codex start` opened.

    `id` names it. `environment` has the variables that count for its sessions, `approval` the mode
    that was asked for (None where Codex's own settings stood), `at_ms` when. `cwd`, without links,
    is given where others use the app-server too: the terminal's are then `thread` and whatever
    begins in that folder and is not one of the `known` threads, which were there before.
    """

    id: str
    environment: dict[str, str] = {}
    approval: str | None = None
    at_ms: int = 0
    cwd: str | None = None
    thread: str | None = None
    known: tuple[str, ...] | None = None

    @property
    def alone(self) -> bool:
        """Whether the app-server was started for this terminal and ends with it."""
        return self.cwd is None

    def owns(self, thread: Thread) -> bool:
        """Whether a thread is this terminal's."""
        if self.alone or thread.id == self.thread:
            return True
        if thread.id in (self.known or ()) or not thread.cwd:
            return False
        return self.cwd == os.path.realpath(thread.cwd)


class LaunchRequest(Struct):
    """The body of `codex.launch`: a terminal was opened, or is about to be, on an app-server."""

    app_server: str
    launch: Launch


class Launched(Struct):
    """The answer of `codex.launch`.

    `known` are the threads that were there before the terminal: to be said again when the host
    is told anew.
    """

    threads: tuple[str, ...]
    known: tuple[str, ...]


class LeaveRequest(Struct):
    """The body of `codex.leave`: a terminal is gone."""

    launch: str


class Terminals:
    """Those of one app-server, by id; the newest one is asked first whose a thread is."""

    def __init__(self) -> None:
        self._open: dict[str, Launch] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __iter__(self) -> Iterator[Launch]:
        return iter(tuple(self._open.values()))

    def __contains__(self, launch_id: str) -> bool:
        return launch_id in self._open

    @property
    def alone(self) -> bool:
        """Whether the app-server ends with its terminal."""
        return any(each.alone for each in self)

    def add(self, launch: Launch) -> None:
        """Open one, or know more about it."""
        self._open[launch.id] = launch

    def remove(self, launch_id: str) -> None:
        """Close one."""
        del self._open[launch_id]

    def owner_of(self, thread: Thread) -> Launch | None:
        """Whose a thread is; None where no terminal has it."""
        return next((each for each in reversed(list(self)) if each.owns(thread)), None)
