"""What the conformance kit needs of an agent beside its adapter: its user, its mishaps, and a look
at its history that does not go through the adapter.

An adapter's author writes one driver and registers its factory in the entry-point group
`agent_relay_drivers` under the adapter's name; `agent-relay plugins check NAME` finds it there.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from pathlib import Path
from typing import NoReturn, Protocol, cast

import msgspec

from relay_core.clock import SystemClock
from relay_core.ports import Adapter, Clock

__all__ = [
    "GROUP",
    "Driver",
    "DriverFactory",
    "NotMeasured",
    "Options",
    "PlainDriver",
    "Play",
    "SystemClock",
    "driver_factory",
    "installed_drivers",
    "without",
]

GROUP = "agent_relay_drivers"
"""The entry-point group in which drivers are found: the adapter's name, and a `DriverFactory`."""


class Play(enum.StrEnum):
    """What a driver may be unable to do; whatever needs it is then reported as not measured."""

    TYPE = "type"
    STOP = "stop"
    THINK = "think"
    TOOL = "tool"
    KILL = "kill"
    RENEW = "renew"
    ASK = "ask"
    SHOW = "show"


_WITHOUT = {
    Play.TYPE: "the driver cannot let the user type",
    Play.STOP: "the driver cannot let the user stop a turn",
    Play.THINK: "the driver cannot hold a turn open while the agent thinks",
    Play.TOOL: "the driver cannot hold a turn open while a tool runs",
    Play.KILL: "the driver cannot kill the agent",
    Play.RENEW: "the driver cannot make a second adapter to the same sessions",
    Play.ASK: "the driver cannot let the agent ask for an approval",
    Play.SHOW: "the driver cannot see what the session's user sees",
}


class NotMeasured(Exception):
    """A check cannot be made with this agent; the message says why."""


class Driver(Protocol):
    """One kind of agent under test. Keys are the adapter's own names of sessions."""

    @property
    def name(self) -> str:
        """The adapter's name."""
        ...

    @property
    def agent(self) -> str:
        """What is under test, in which version."""
        ...

    @property
    def clock(self) -> Clock:
        """The time that all of it keeps to."""
        ...

    @property
    def cannot(self) -> Mapping[Play, str]:
        """The plays that are missing, each with the reason."""
        ...

    def new_adapter(self) -> Adapter:
        """Make a fresh adapter that knows nothing of others, as a host does that starts.

        RENEW: the sessions are those that an earlier one had, too.
        """
        ...

    async def abandon(self, adapter: Adapter) -> None:
        """Do to an adapter what the end of a killed host would do to it, and no more."""
        ...

    async def begin(self) -> str:
        """Begin a session of its own, at rest, that outlives a crash of its agent."""
        ...

    def attachment(self, key: str) -> msgspec.Raw | None:
        """Tell what `attach` is asked for this session; None where the adapter finds it itself."""
        ...

    async def inputs(self, key: str) -> tuple[str, ...]:
        """Read every input in the session's history, oldest first, without the adapter."""
        ...

    async def resting(self, key: str) -> bool:
        """Look whether no turn is running there, without the adapter."""
        ...

    async def last_words(self, key: str) -> str | None:
        """Tell what the last turn that completed ended with, without the adapter."""
        ...

    async def type(self, key: str, text: str) -> None:
        """TYPE: let the user type: a turn begins, or the running one gets more input."""
        ...

    async def stop(self, key: str) -> None:
        """STOP: let the user stop the running turn."""
        ...

    async def hold(self, key: str, doing: Play) -> None:
        """THINK, TOOL: let the turn that begins next go on until `release`.

        A turn that thinks takes input as it always does; one with a tool only after the tool.
        """
        ...

    async def held(self, key: str) -> None:
        """Wait until the turn that is to be held is where it was to be held."""
        ...

    async def release(self, key: str) -> None:
        """Let what was held go on; harmless where nothing is."""
        ...

    async def kill(self, key: str) -> None:
        """KILL: end the agent as a crash would."""
        ...

    async def revive(self, key: str) -> None:
        """KILL: bring the agent back, with the session in it; harmless where it is there."""
        ...

    async def ask(self, key: str) -> None:
        """ASK: begin a turn of the user's in which the agent asks for an approval, and wait
        until it asks."""
        ...

    async def asking(self, key: str) -> bool:
        """ASK: look whether the agent is still waiting for the answer."""
        ...

    async def answer(self, key: str) -> None:
        """ASK: let the user say yes."""
        ...

    async def shows(self, key: str, text: str) -> bool:
        """SHOW: look whether the session's user sees this text."""
        ...


class PlainDriver:
    """A driver that can do nothing yet but begin: implement what your agent can do.

    Whatever needs a play of `cannot` is not measured; by default that is all of them.
    """

    cannot: Mapping[Play, str] = _WITHOUT

    async def abandon(self, adapter: Adapter) -> None:
        """Close it: the sockets and locks of a killed host are gone as well."""
        await adapter.close()

    def attachment(self, key: str) -> msgspec.Raw | None:
        """Nothing: the adapter finds its sessions by itself."""
        del key
        return None

    async def last_words(self, key: str) -> str | None:
        """Nobody can tell."""
        del key
        return None

    async def type(self, key: str, text: str) -> None:
        """Cannot."""
        del key, text
        self._refuse(Play.TYPE)

    async def stop(self, key: str) -> None:
        """Cannot."""
        del key
        self._refuse(Play.STOP)

    async def hold(self, key: str, doing: Play) -> None:
        """Cannot."""
        del key
        self._refuse(doing)

    async def held(self, key: str) -> None:
        """Nothing is held."""

    async def release(self, key: str) -> None:
        """Nothing is held."""

    async def kill(self, key: str) -> None:
        """Cannot."""
        del key
        self._refuse(Play.KILL)

    async def revive(self, key: str) -> None:
        """Nothing was killed."""

    async def ask(self, key: str) -> None:
        """Cannot."""
        del key
        self._refuse(Play.ASK)

    async def asking(self, key: str) -> bool:
        """Cannot."""
        del key
        self._refuse(Play.ASK)

    async def answer(self, key: str) -> None:
        """Cannot."""
        del key
        self._refuse(Play.ASK)

    async def shows(self, key: str, text: str) -> bool:
        """Cannot."""
        del key, text
        self._refuse(Play.SHOW)

    def _refuse(self, play: Play) -> NoReturn:
        raise NotMeasured(self.cannot.get(play, _WITHOUT[play]))


def without(*plays: Play, because: str | None = None) -> dict[Play, str]:
    """Say what a driver cannot do, for its `cannot`."""
    return {play: because or _WITHOUT[play] for play in plays}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wants of a driver; one that has no use for an option ignores it.

    `program` is the agent's own program, where it is not to be found by itself.
    """

    program: Path | None = None


DriverFactory = Callable[[Path, Options], AbstractAsyncContextManager[Driver]]
"""Opens a driver, with an empty folder for whatever it needs; its end ends all that it started."""


def installed_drivers() -> tuple[str, ...]:
    """Name the adapters that have a driver, without importing any."""
    return tuple(sorted(point.name for point in metadata.entry_points(group=GROUP)))


def driver_factory(adapter: str) -> DriverFactory | None:
    """Import the driver of an adapter; None where none is installed."""
    for point in metadata.entry_points(group=GROUP, name=adapter):
        return cast("DriverFactory", point.load())
    return None
