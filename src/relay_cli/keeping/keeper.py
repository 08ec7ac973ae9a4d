"""The process in the foreground: the parent of Codex's terminal UI."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from typing import Any

from relay_cli.keeping.guardian import POLL_S, TERMINAL_GRACE_S, be_guardian, end_process
from relay_cli.keeping.pipes import Lines, Signals, ignore
from relay_cli.keeping.plan import Plan, remove, tell_host

CLEAN_UP_LIMIT_S = 20.0
FAILED = 1
INTERRUPTED = 130
NAME = "codex-relay"
TERMINAL_OFF = "\x1b[?1049l\x1b[?25h\x1b[?2004l\x1b[?1004l\x1b[<u\x1b[0m\r\n"
"""Leaves the other screen, shows the cursor, ends bracketed paste, focus reports and key codes."""


def main() -> int:
    """Run both processes from the plan that the given file descriptor holds.

    The exit status is the terminal UI's, 128 and the number of a signal that ended it, 1 when
    something of ours failed.
    """
    with os.fdopen(int(sys.argv[1]), encoding="utf-8") as stream:
        plan: Plan = json.load(stream)
    ours, theirs = socket.socketpair()
    guardian = os.fork()
    if guardian == 0:
        ours.close()
        be_guardian(plan, theirs)
    theirs.close()
    return Keeper(plan, ours, guardian).run()


class Keeper:
    """The process in the foreground."""

    def __init__(self, plan: Plan, pipe: socket.socket, guardian: int) -> None:
        self._plan = plan
        self._pipe = Lines(pipe)
        self._guardian = guardian
        self._signals = Signals(signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)
        self._trouble = ""
        self._ended = ""
        self._ready = False

    def run(self) -> int:
        """Open the terminal UI, wait for its end, and see to it that everything is gone."""
        modes = _terminal_modes()
        try:
            status = self._start()
        except KeyboardInterrupt:
            status = INTERRUPTED
        if status is None:
            # What the keyboard sends is for the terminal UI; handlers, unlike SIG_IGN, end at exec.
            for each in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(each, ignore)
            status = self._run_terminal(modes)
        self._pipe.close()
        self._await_guardian()
        return status

    def _start(self) -> int | None:
        """Wait until the terminal UI may open; the exit status when it may not."""
        while not self._ready:
            self._listen(None)
            if self._ended or (self._trouble and not self._plan["server"]):
                _say(self._ended or self._trouble)
                return FAILED
            if taken := set(self._signals.take()) - {signal.SIGCHLD}:
                return 128 + min(taken)
        return None

    def _run_terminal(self, modes: list[Any] | None) -> int:
        try:
            terminal = subprocess.Popen(self._plan["terminal"])
        except OSError as error:
            _say(f"Codex cannot be run: {error}")
            return FAILED
        self._pipe.send(f"terminal {terminal.pid}")
        while (status := self._poll(terminal)) is None:
            self._listen(terminal)
            for taken in self._signals.take():
                if taken != signal.SIGCHLD:
                    terminal.send_signal(taken)
            if self._ended and not end_process(terminal, signal.SIGTERM, TERMINAL_GRACE_S):
                end_process(terminal, signal.SIGKILL, TERMINAL_GRACE_S)
        self._pipe.send("ended")
        if status < 0 or self._ended:
            _restore(modes)
        if self._ended:
            _say(self._ended)
            return FAILED
        if self._trouble:
            _say(f"the session was not connected to the relay: {self._trouble}")
        if status == 0 and self._plan["server"]:
            _say(f"this session's app-server has ended; go on with: {NAME} resume --last")
        return status if status >= 0 else 128 - status

    def _poll(self, terminal: subprocess.Popen[bytes]) -> int | None:
        """Look whether the terminal UI has ended; where it has stopped itself, stop, too."""
        if terminal.returncode is not None:
            return terminal.returncode
        pid, status = os.waitpid(terminal.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            terminal.send_signal(signal.SIGCONT)
            return None
        terminal.returncode = os.waitstatus_to_exitcode(status)
        return terminal.returncode

    def _listen(self, terminal: subprocess.Popen[bytes] | None) -> None:
        """Wait for news of the guardian's, or for a signal."""
        for line in self._pipe.wait(self._signals):
            word, _, rest = line.partition(" ")
            if word == "ready":
                self._ready = True
            elif word == "connected":
                self._trouble = ""
            elif word == "trouble":
                self._trouble = rest
            elif word == "server":
                self._ended = rest
        if self._pipe.ended and not self._ended:
            self._ended = "the process that keeps Codex's app-server was killed"
            if terminal is not None:
                tell_host(self._plan)
            remove(self._plan["folder"])

    def _await_guardian(self) -> None:
        give_up = time.monotonic() + CLEAN_UP_LIMIT_S
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._guardian, os.WNOHANG)[0] == 0:
                if time.monotonic() > give_up:
                    _say(f"Codex's app-server has not ended yet, see process {self._guardian}")
                    return
                time.sleep(POLL_S)


def _terminal_modes() -> list[Any] | None:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _restore(modes: list[Any] | None) -> None:
    """Give the terminal back as it was: a terminal UI that was killed could not."""
    if modes is None:
        return
    with contextlib.suppress(OSError, termios.error):
        os.write(1, TERMINAL_OFF.encode())
        termios.tcsetattr(0, termios.TCSADRAIN, modes)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{NAME}: {text}\n".encode(errors="replace"))
