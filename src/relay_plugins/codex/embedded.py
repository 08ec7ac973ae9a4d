"""Sessions whose Codex listens on no socket: known from their hook's call, reached by the queue."""

# Rule 1: a terminal that was started with `--no-daemon`, `-c` or `-p` has its Codex inside. Nothing
#         shows it but the call of its SessionStart hook, and the process that made that call.
# Rule 2: an app-server of our own on the same CODEX_HOME, of the same program, is started for the
#         first such session and ended after the last.
# Rule 3: such a session lives as long as that process, and its terminal with it: it is attended.
#         When the process is gone, the session is away, and a minute later closed.
# Rule 4: `codex exec` ends with its turn and takes nothing from a queue: it is left alone.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from relay_core import Clock, Environment, SessionEvent
from relay_plugins.codex.address import Address, CodexProcess, Process, is_alive
from relay_plugins.codex.app_server import AppServer
from relay_plugins.codex.client import CLIENT, Connection, greeted
from relay_plugins.codex.launcher import find_codex
from relay_plugins.codex.protocol import Protocol
from relay_plugins.codex.queueing import QueueConnection, Waiting
from relay_plugins.codex.stdio import start_app_server
from relay_plugins.codex.tracked import TrackedThread
from relay_plugins.codex.wire import Thread

SURVEY_S = 1.0
EXEC = "exec"


def embedded_address(codex_home: Path) -> Address:
    """How the app-server of our own is named, of which there is one for each CODEX_HOME."""
    return Address(text=f"stdio:{codex_home}")


class EmbeddedSessions(AppServer):
    """The sessions of one CODEX_HOME that have no socket; ends when there are none."""

    by_queue = True

    def __init__(
        self,
        home: Path,
        *,
        environ: Environment,
        clock: Clock,
        jitter: Callable[[], float],
        report: Callable[[SessionEvent], None],
        owner: Callable[[str], AppServer | None],
    ) -> None:
        super().__init__(
            embedded_address(home),
            token=lambda: None,
            settle_s=0.0,
            clock=clock,
            jitter=jitter,
            report=report,
            owner=owner,
        )
        self.home = home
        self.owners: dict[str, Process] = {}
        self._waiting = Waiting()
        self._environ = environ
        self.process_id: int | None = None
        self._binary: Path | None = None

    def add(self, thread_id: str, owner: CodexProcess) -> None:
        """Take a session, for as long as this process has it."""
        self.owners[thread_id] = owner.process
        self._binary = Path(owner.binary)
        self.want(thread_id)
        self.look_now()

    def forget(self, thread_id: str) -> None:
        """Stop watching one session."""
        self.owners.pop(thread_id, None)
        self._waiting.forget(thread_id)
        super().forget(thread_id)

    async def run(self) -> None:
        """Serve until there are no such sessions; one may come while the last one's watch ends."""
        await super().run()
        while self.wanted:
            await super().run()

    async def _connect(self) -> Connection:
        binary = self._binary
        if binary is None or not binary.is_file():  # it was replaced while it ran
            binary = (await asyncio.to_thread(find_codex, self._environ)).path
        frames = await start_app_server(binary, self.home, self._environ)
        self.process_id = frames.process_id
        connection = QueueConnection(
            frames,
            Protocol(CLIENT),
            self._notified,
            owners=self.owners,
            waiting=self._waiting,
            clock=self._clock,
        )
        return await greeted(connection, self.address)

    def _is_needed(self, failures: int) -> bool:  # noqa: ARG002 - it is tried for as long
        self._let_go()
        return bool(self.wanted or self.threads)

    async def _survey(self, connection: Connection) -> None:
        self._let_go()
        await super()._survey(connection)
        if not (self.wanted or self.threads):
            await connection.close()

    def _take(self, thread: Thread) -> TrackedThread | None:
        if thread.source == EXEC:
            self.forget(thread.id)
            return None
        return super()._take(thread)

    def _repair_s(self) -> float:
        return SURVEY_S

    def _let_go(self) -> None:
        """Let those be closed, in time, whose process is gone."""
        for thread_id, owner in list(self.owners.items()):
            if is_alive(owner):
                continue
            self.wanted.discard(thread_id)
            if thread_id not in self.threads:
                del self.owners[thread_id]
