"""The process beside: starts the app-server, keeps the host told, and cleans up."""

# Rule 1: the terminal UI is the app-server's first client, because the first one's name is what
#         Codex reports as the originator; the host is told when it has connected.
# Rule 2: whoever of the two processes is left ends what the other had started.
# Rule 3: the host forgets the terminal when it is told so or when the socket is gone; a new host is
#         told anew, as soon as it listens.

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, NoReturn

from relay_cli.keeping.pipes import Lines, Signals
from relay_cli.keeping.plan import LOG, SOCKET, Plan, behind, remove, say_to_host, tell_host

READY_LIMIT_S = 30.0
POLL_S = 0.02
SETTLE_S = 0.5
CONNECT_LIMIT_S = 3.0
CONNECT_BLIND_S = 1.0
"""How long the terminal UI is given to connect where the system does not tell that it has."""

FIRST_RETRY_S, LONGEST_RETRY_S, REFUSED_RETRY_S = 0.1, 2.0, 5.0
GRACES_S = (3.0, 2.0, 1.0)
"""How long the app-server may take after a first SIGTERM (it waits for running turns), a second
(it does not), and SIGKILL."""

TERMINAL_GRACE_S = 2.0


def be_guardian(plan: Plan, pipe: socket.socket) -> NoReturn:
    """Do the guardian's work in this process, which ends with it."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(nowhere, each)
        Guardian(plan, pipe).run()
    finally:
        os._exit(0)


class Guardian:
    """The process beside: starts the app-server, keeps the host told, and cleans up."""

    def __init__(self, plan: Plan, pipe: socket.socket) -> None:
        self._plan = plan
        self._pipe = Lines(pipe)
        self._signals = Signals(
            signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._terminal: tuple[int, str] | None = None
        self._link: Lines | None = None
        self._due: float | None = None
        self._first_by = 0.0
        self._failures = 0
        self._behind = ""
        self._others = 0

    def run(self) -> None:
        """Work until the keeper is gone, the app-server is, or a signal says so."""
        try:
            if not self._plan["server"]:
                self._due = time.monotonic()
            elif not self._start_server():
                return
            while self._go_on():
                pass
        finally:
            self._end()

    def _start_server(self) -> bool:
        """Start the app-server and wait until it listens; False when that is not to be."""
        folder = self._plan["folder"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        with open(os.open(f"{folder}/{LOG}", flags, 0o600), "wb") as log:
            try:
                self._server = subprocess.Popen(
                    self._plan["server"],
                    cwd=self._plan["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 - there are no threads here
                )
            except OSError as error:
                self._pipe.send(f"server Codex cannot be run: {error}")
                return False
        give_up = time.monotonic() + READY_LIMIT_S
        while not _listens(f"{folder}/{SOCKET}"):
            self._pipe.wait(self._signals, POLL_S)
            if self._pipe.ended or self._told_to_stop():
                return False
            if self._server.poll() is not None or time.monotonic() > give_up:
                self._pipe.send(f"server Codex's app-server did not start: {self._last_words()}")
                return False
        give_up = time.monotonic() + SETTLE_S
        while (others := _connections(f"{folder}/{SOCKET}")) and time.monotonic() < give_up:
            time.sleep(POLL_S)  # until the look that has just been taken is not counted any more
        self._others = others
        self._behind = behind(folder)
        self._pipe.send("ready")
        return True

    def _go_on(self) -> bool:
        """Wait for whatever happens next, and do what it asks for; False when it is the end."""
        wait_s = None if self._due is None else max(0.0, self._due - time.monotonic())
        link = self._link
        for line in self._pipe.wait(self._signals, wait_s, also=link):
            word, _, rest = line.partition(" ")
            if word == "ended":
                self._terminal = None
            elif word == "terminal":
                self._terminal = (int(rest), _started(int(rest)))
                if self._plan["server"]:
                    self._due = time.monotonic()
                    self._first_by = self._due + _patience_s()
        if self._pipe.ended or self._told_to_stop():
            return False
        if self._server is not None and (status := self._server.poll()) is not None:
            how = f"exit status {status}" if status >= 0 else f"signal {-status}"
            self._pipe.send(f"server Codex's app-server has ended ({how}): {self._last_words()}")
            return False
        if link is not None:
            self._hear(link)
        if self._due is not None and time.monotonic() >= self._due:
            self._call_host()
        return True

    def _told_to_stop(self) -> bool:
        return signal.SIGTERM in self._signals.take()

    def _call_host(self) -> None:
        """Tell the host of the terminal, on a connection that ends when the host does."""
        socket_path = f"{self._plan['folder']}/{SOCKET}"
        if time.monotonic() < self._first_by and _connections(socket_path) <= self._others:
            self._due = time.monotonic() + POLL_S
            return
        self._first_by, self._due = 0.0, None
        try:
            self._link = say_to_host(self._plan["control"], self._plan["launch"])
        except OSError:
            self._lost("the host is not running — agent-relay up --detach")

    def _hear(self, link: Lines) -> None:
        for line in link.take():
            try:
                answer: dict[str, Any] = json.loads(line)
            except ValueError:
                answer = {"ok": False, "detail": "the host's answer cannot be read"}
            if answer["ok"]:
                self._failures = 0
                if not self._plan["server"]:
                    self._plan["launch"]["body"]["launch"]["known"] = answer["body"]["known"]
                    self._pipe.send("ready")
                self._pipe.send("connected")
            else:
                fix = answer.get("fix")
                link.close()
                self._lost(answer["detail"] + (f" — {fix}" if fix else ""), REFUSED_RETRY_S)
                return
        if link.ended:
            link.close()
            self._lost("the host has stopped — agent-relay up --detach")

    def _lost(self, why: str, retry_s: float | None = None) -> None:
        self._link = None
        self._pipe.send(f"trouble {' '.join(why.split())}")
        growing = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._failures, 10))
        self._failures += 1
        self._due = time.monotonic() + (retry_s or growing)

    def _last_words(self) -> str:
        """The last line that the app-server printed."""
        with open(f"{self._plan['folder']}/{LOG}", "rb") as log:
            lines = log.read()[-4000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _end(self) -> None:
        if self._terminal is not None and _started(self._terminal[0]) == self._terminal[1]:
            _end_pid(self._terminal[0])
        if self._link is not None:
            self._link.close()
        tell_host(self._plan)
        if self._server is not None:
            _end_server(self._server)
        remove(self._plan["folder"], self._behind)


def _end_server(server: subprocess.Popen[bytes]) -> None:
    hows = (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)
    for how, grace_s in zip(hows, GRACES_S, strict=True):
        if end_process(server, how, grace_s):
            return


def end_process(process: subprocess.Popen[bytes], how: signal.Signals, grace_s: float) -> bool:
    """Send a signal to a child and wait; False when it has not ended in time."""
    process.send_signal(how)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_pid(pid: int) -> None:
    """End the terminal UI of a keeper that was killed; it is nobody's child of ours."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        give_up = time.monotonic() + TERMINAL_GRACE_S
        try:
            os.kill(pid, how)
            while time.monotonic() < give_up:
                time.sleep(POLL_S)
                os.kill(pid, 0)
        except OSError:
            return  # it is gone, and its number may soon be another's


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as opened:
        try:
            opened.connect(os.path.realpath(path))
        except OSError:
            return False
    return True


def _connections(path: str) -> int:
    """How many are connected to a socket; 0 where the system does not tell."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            rows = [row.split() for row in table]
    except OSError:
        return 0
    behind = os.path.realpath(path)
    return sum(len(row) == 8 and row[5] == "03" and row[7] == behind for row in rows)  # noqa: PLR2004 - the table's columns


def _patience_s() -> float:
    return CONNECT_LIMIT_S if os.path.exists("/proc/net/unix") else CONNECT_BLIND_S


def _started(pid: int) -> str:
    """When a process started, where the system tells: no later one with its number has that."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as table:
            return table.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _die_with_parent() -> Any:
    """Make what a child does before it becomes Codex: ask to be ended with its parent (Linux)."""
    if sys.platform != "linux":
        return None
    import ctypes

    library = ctypes.CDLL(None)
    return lambda: library.prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG
