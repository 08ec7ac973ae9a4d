"""What a loop waits for: signals, and lines on a socket."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket


class Signals:
    """Signals that were taken, for a loop that waits in `select`."""

    def __init__(self, *wanted: signal.Signals) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        self._write = write
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for each in wanted:
            signal.signal(each, ignore)

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._read

    def take(self) -> list[signal.Signals]:
        """Those that came since the last call."""
        try:
            return [signal.Signals(number) for number in os.read(self._read, 1000)]
        except BlockingIOError:
            return []


class Lines:
    """A stream socket on which both sides say short lines."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._rest = b""
        self.ended = False

    def fileno(self) -> int:
        """Readable when the other side said something or is gone."""
        return self._socket.fileno()

    def send(self, line: str) -> None:
        """Say something; nobody may be there to hear it."""
        with contextlib.suppress(OSError):
            self._socket.sendall(line.encode() + b"\n")

    def wait(
        self, signals: Signals | None, timeout_s: float | None = None, *, also: Lines | None = None
    ) -> list[str]:
        """Wait until something is said, here or by another; answer what was said here."""
        watched = [each for each in (self, signals, also) if each is not None]
        readable, _, _ = select.select(watched, [], [], timeout_s)
        return self.take() if self in readable else []

    def take(self) -> list[str]:
        """What has been said; does not wait."""
        while not self.ended and select.select([self], [], [], 0)[0]:
            try:
                said = self._socket.recv(65536)
            except OSError:
                said = b""
            self.ended = not said
            self._rest += said
        *lines, self._rest = self._rest.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def close(self) -> None:
        """Say no more."""
        self._socket.close()


def ignore(number: int, frame: object) -> None:
    """Take a signal whose number the wake-up descriptor has been given."""
