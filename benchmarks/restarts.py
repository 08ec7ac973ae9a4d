"""One user of a plain `codex` whose daemon, terminal and host are restarted, and a clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from pathlib import Path

import msgspec

from benchmarks.child import Child
from relay_core import RelayError, Struct, find_places
from relay_core.control import HostUnreachable, call
from relay_core.host_api import HostStatus, SessionStatus
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, DeliveryState, MessageId
from relay_plugins.codex.testing.plain_codex import READY, PlainCodex
from relay_plugins.codex.testing.terminal import Terminal

LOOK_S = 0.02
LIMIT_S = 60.0
CALL_S = 5.0
CONNECTED = "connected"
AWAY = "away"
OTHER_VERSION = "0.0.9"


class _Up(Struct):
    url: str
    pid: int
    version: str


class Opened(Struct):
    """Seconds until the session was connected: after the terminal UI could be typed into, and after
    its daemon listened as well; 0 where it was connected before."""

    after_ready: float
    after_daemon: float


class Desk:
    """Opens, restarts, and tells in seconds how long the session took to be back."""

    def __init__(self, codex: PlainCodex, folder: Path, environ: Mapping[str, str]) -> None:
        self.codex = codex
        self._folder = folder
        self._environ = {
            **environ,
            "HOME": str(codex.home),
            "CODEX_HOME": str(codex.codex_home),
            "AGENT_RELAY_CODEX_BIN": str(codex.binary.path),
            "AGENT_RELAY_HOME": str(folder / "relay"),
        }
        self._port = _free_port()
        self._other = _as_version(OTHER_VERSION, folder / "other")
        self._hosts: list[Child] = []
        self._host: _Up | None = None
        self._terminal: Terminal | None = None
        self._agent = AgentId("")
        self._known: set[AgentId] = set()
        self._sent = 0

    async def open(self) -> Opened:
        """Type `codex` and wait for a session that is connected."""
        connected = asyncio.create_task(self._new_session())
        listening = asyncio.create_task(self._when(self._daemon_listens))
        self._terminal = self.codex.start()
        await asyncio.to_thread(self._terminal.until, READY)
        ready = time.monotonic()
        loadable = max(ready, await listening)
        at = await connected
        return Opened(after_ready=max(0.0, at - ready), after_daemon=max(0.0, at - loadable))

    async def first_word(self) -> None:
        """Type a prompt, so that there is something to resume."""
        terminal = self._screen
        await asyncio.to_thread(terminal.enter, "a first word")
        await asyncio.to_thread(terminal.until, "Understood.")

    async def daemon_again(self, end: Callable[[], None]) -> float:
        """End the daemon and start it: the terminal UI comes back by itself."""
        await asyncio.to_thread(end)
        await self._until_connection(AWAY)
        mail = await self._send()
        await asyncio.to_thread(self.codex.start_daemon)
        return await self._back(time.monotonic(), mail)

    async def resume(self) -> float:
        """Type `/quit`, end the daemon, and type `codex resume`."""
        said = await asyncio.to_thread(self.codex.quit, self._screen)
        await asyncio.to_thread(self.codex.kill_daemon)
        await self._until_connection(AWAY)
        mail = await self._send()
        back = asyncio.create_task(self._back(0.0, mail))
        self._terminal = self.codex.start("resume", said.rpartition("codex resume ")[2].split()[0])
        await asyncio.to_thread(self._terminal.until, READY)
        ready = time.monotonic()
        return max(0.0, await back - ready)

    async def host_again(self) -> float:
        """Kill the host and its hub, and type `agent-relay up`."""
        assert self._host is not None
        os.kill(self._host.pid, signal.SIGKILL)
        await self._gone()
        return await self._with_new_host(self._environ)

    async def other_version(self) -> float:
        """Type `agent-relay up` of another version while the host of this one runs."""
        took = await self._with_new_host({**self._environ, "PYTHONPATH": str(self._other)})
        assert self._host is not None
        assert self._host.version == OTHER_VERSION
        return took

    async def close(self) -> None:
        """Close the terminal and end what outlives it."""
        await asyncio.to_thread(self.codex.end)

    async def up(self, environ: Mapping[str, str] | None = None) -> None:
        """Type `agent-relay up` and wait until it serves."""
        log = self._folder / f"up-{len(self._hosts)}.log"
        program = ("-m", "relay_cli", "up", "--port", str(self._port), "--json")
        child = Child(program, environ=environ or self._environ, log=log)
        self._hosts.append(child)
        await child.__aenter__()
        self._host = await child.says(_Up)

    async def end(self) -> None:
        """End terminals, daemons and hosts, however they stand."""
        try:
            await self.close()
        finally:
            for child in self._hosts:
                await child.__aexit__(None, None, None)

    # Inside --------------------------------------------------------------------------------------

    @property
    def _screen(self) -> Terminal:
        assert self._terminal is not None
        return self._terminal

    async def _with_new_host(self, environ: Mapping[str, str]) -> float:
        before, pid = time.monotonic(), self._host and self._host.pid
        sending = asyncio.create_task(self._send())
        await self.up(environ)
        assert self._host is not None
        assert self._host.pid != pid
        return await self._back(before, await sending)

    async def _daemon_listens(self) -> bool:
        return self.codex.socket.exists()

    async def _gone(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while await self._status() is not None:  # noqa: ASYNC110 - its end is told to nobody
                await asyncio.sleep(LOOK_S)

    async def _back(self, since: float, mail: MessageId) -> float:
        """Seconds since then until the session is connected and the mail is listed."""
        connected = await self._until_connection(CONNECTED)
        listed = await self._until_listed(mail)
        sessions = await self._sessions()
        assert len([each for each in sessions if each.agent_id == self._agent]) == 1, sessions
        return max(connected, listed) - since

    async def _new_session(self) -> float:
        async with asyncio.timeout(LIMIT_S):
            while True:
                for each in await self._sessions():
                    if each.agent_id not in self._known and each.connection == CONNECTED:
                        self._known.add(each.agent_id)
                        self._agent = each.agent_id
                        return time.monotonic()
                await asyncio.sleep(LOOK_S)

    async def _until_connection(self, wanted: str) -> float:
        async def stands() -> bool:
            found = [each for each in await self._sessions() if each.agent_id == self._agent]
            return [each.connection for each in found] == [wanted]

        return await self._when(stands)

    async def _until_listed(self, mail: MessageId) -> float:
        async def listed() -> bool:
            async with self._hub() as hub:
                (delivery,) = (await hub.message(mail)).deliveries
            return delivery.state is DeliveryState.DELIVERED

        return await self._when(listed)

    async def _when(self, holds: Callable[[], Awaitable[bool]]) -> float:
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(RelayError):  # nobody answers while they are restarted
                    if await holds():
                        return time.monotonic()
                await asyncio.sleep(LOOK_S)

    async def _send(self) -> MessageId:
        """Send a message to the session, as soon as there is a hub that takes it."""
        self._sent += 1
        request = SendRequest(to=self._agent, body=f"mail number {self._sent}")
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(RelayError):
                    async with self._hub() as hub:
                        key = f"{self._agent}-{self._sent}"
                        return (await hub.send(request, idempotency_key=key)).id
                await asyncio.sleep(LOOK_S)

    def _hub(self) -> HubClient:
        assert self._host is not None
        token = find_places(self._environ, os.getuid()).token_file.read_text().strip()
        return HubClient(self._host.url, token)

    async def _sessions(self) -> tuple[SessionStatus, ...]:
        status = await self._status()
        return () if status is None else status.sessions

    async def _status(self) -> HostStatus | None:
        places = find_places(self._environ, os.getuid())
        try:
            answer = await call(places.control_socket, "status", None, timeout_s=CALL_S)
        except HostUnreachable:
            return None
        return msgspec.json.decode(answer, type=HostStatus)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_version(version: str, folder: Path) -> Path:
    """Describe this distribution as one of another version, for whoever has the folder first."""
    installed = metadata.distribution("agent-relay-codex")
    described = folder / f"agent_relay_codex-{version}.dist-info"
    described.mkdir(parents=True)
    lines = (installed.read_text("METADATA") or "").splitlines()
    told = [f"Version: {version}" if line.startswith("Version:") else line for line in lines]
    (described / "METADATA").write_text("\n".join(told))
    (described / "entry_points.txt").write_text(installed.read_text("entry_points.txt") or "")
    return folder
