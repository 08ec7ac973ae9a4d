"""What is to be run, where, and what the host is told of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any, TypedDict

from relay_cli.keeping.pipes import Lines

HOST_LIMIT_S = 2.0
SOCKET, LOG, LOCK = "s", "log", "lock"
"""What may be in the folder: the socket (a link of Codex's), what the app-server printed, and the
lock that says that somebody lives."""


class Plan(TypedDict):
    """What is to be run; `folder` and `server` are empty where a running app-server is used.

    `launch` and `leave` are lines for the host's control socket.
    """

    terminal: list[str]
    server: list[str]
    folder: str
    cwd: str
    control: str
    launch: dict[str, Any]
    leave: dict[str, Any]


def say_to_host(control: str, line: dict[str, Any]) -> Lines:
    """Say one line to the host, on a connection that stays; OSError when none listens."""
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.settimeout(HOST_LIMIT_S)
        opened.connect(control)
        opened.sendall(json.dumps(line).encode() + b"\n")
    except OSError:
        opened.close()
        raise
    opened.settimeout(None)
    return Lines(opened)


def tell_host(plan: Plan) -> None:
    """Let the host forget the terminal; it does so by itself when nobody can tell it."""
    with contextlib.suppress(OSError):
        link = say_to_host(plan["control"], plan["leave"])
        link.wait(None, HOST_LIMIT_S)
        link.close()


def behind(folder: str) -> str:
    """Where the socket really is: Codex puts a link to it into the folder. Empty where it is not
    there."""
    real = os.path.realpath(f"{folder}/{SOCKET}")
    is_elsewhere = os.path.dirname(real) != os.path.realpath(folder)
    return real if is_elsewhere and os.path.exists(real) else ""


def remove(folder: str, socket_behind: str = "") -> None:
    """Remove the folder, and the socket that Codex keeps elsewhere with a lock beside it."""
    if not folder:
        return
    real = socket_behind or behind(folder)
    elsewhere = [real, f"{real}.lock"] if real else []
    for path in (*elsewhere, *(f"{folder}/{name}" for name in (SOCKET, LOG, LOCK))):
        with contextlib.suppress(OSError):
            os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
