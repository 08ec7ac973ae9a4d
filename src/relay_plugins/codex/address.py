"""Where an app-server listens, and which process that is."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from relay_core import SettingsError, Struct

ADAPTER = "codex"
DEFAULT_SOCKET = Path("app-server-control") / "app-server-control.sock"
"""Where plain `codex` puts its daemon's socket, below CODEX_HOME."""

FORMS = "unix:///absolute/path.sock or ws://127.0.0.1:PORT"
MAX_PORT = 65_535
MOST_ANCESTORS = 16
MAX_TOKEN_BYTES = 16 * 1024

_THREAD_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Address(Struct):
    """An app-server's address: a unix socket, or a port on this machine."""

    text: str
    path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0


class Process(Struct):
    """A process that cannot be mistaken for a later one with the same number.

    `started` is its start in clock ticks since boot.
    """

    pid: int
    started: int


def parse_address(text: str, codex_home: Path) -> Address:
    """Read an app-server address; SettingsError when it is none, or not on this machine."""
    url = urlsplit(text) if "\0" not in text and not re.search(r"\s", text) else None
    if url is not None and url.scheme == "unix" and not url.netloc:
        path = Path(url.path) if url.path else codex_home / DEFAULT_SOCKET
        if path.is_absolute():
            return Address(text=f"unix://{path}", path=path)
    if url is not None and url.scheme == "ws" and url.hostname and not (url.query or url.username):
        try:
            port = url.port
        except ValueError:
            port = None
        if port and _is_loopback(url.hostname):
            host = url.hostname
            shown = f"[{host}]" if ":" in host else host
            return Address(text=f"ws://{shown}:{port}", host=host, port=port)
    raise SettingsError(
        f"{text[:200]!r} is no address of an app-server on this machine", fix=f"use {FORMS}"
    )


def socket_path(path: Path) -> str:
    """The path to connect to: the daemon's is a link, because a socket's holds 107 bytes."""
    return os.path.realpath(path)


def appeared_at(path: Path) -> float | None:
    """When a socket came to be, in seconds since the Unix epoch; None where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def is_gone(address: Address) -> bool:
    """Whether a unix socket is not there any more, nor a link in its place."""
    return address.path is not None and not os.path.lexists(address.path)


def check_thread_id(text: str) -> str:
    """Return a thread id that is safe in a file name; SettingsError for anything else."""
    if not _THREAD_ID.fullmatch(text):
        raise SettingsError(
            f"{text[:100]!r} is no thread id",
            fix="a thread id looks like 01a20238-55cd-79d2-ad22-fc94608eaedc",
        )
    return text


def read_token(path: Path) -> str:
    """Read a bearer token from a file of this user that nobody else can read."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        opened = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise SettingsError(f"the token cannot be read: {error}", file=path) from error
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise SettingsError("the token must be in a plain file", file=path)
        if found.st_uid not in {os.getuid(), 0} or found.st_mode & 0o077:
            raise SettingsError(
                "others could read this token", file=path, fix=f"chmod 600 {path}, then try again"
            )
        text = os.read(opened, MAX_TOKEN_BYTES).decode("ascii", errors="replace").strip()
    finally:
        os.close(opened)
    if not re.fullmatch(r"[!-~]+", text):
        raise SettingsError("this file holds no token", file=path)
    return text


def peer_process(peer: socket.socket) -> Process | None:
    """The process that listens on a connected unix socket; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    pid: int = struct.unpack("3i", packed)[0]
    started = _start_ticks(pid)
    return None if started is None else Process(pid=pid, started=started)


def listening_process(port: int) -> Process | None:
    """The process of this user that listens on a TCP port; None where nobody can tell.

    Walks /proc: tens of milliseconds on a busy machine, so not for the event loop.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            held = {str(each.readlink()) for each in (folder / "fd").iterdir()}
        except OSError:
            continue  # another user's, or it has just ended
        started = _start_ticks(int(folder.name)) if held & sockets else None
        if started is not None:
            return Process(pid=int(folder.name), started=started)
    return None


def has_client(path: str) -> bool:
    """Whether somebody is connected to a unix socket; False where the system does not tell."""
    try:
        rows = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    # Num RefCount Protocol Flags Type St Inode Path; 03 is a connection, and those that were
    # accepted bear their listener's path.
    return any(row.endswith(f" {path}") and row.split()[5] == "03" for row in rows)


def is_alive(process: Process) -> bool:
    """Whether this very process still runs."""
    return _start_ticks(process.pid) == process.started


def started_s(process: Process) -> float:
    """When a process started, in seconds since the Unix epoch; 0 where nobody can tell."""
    try:
        rows = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        boot = next(float(row.split()[1]) for row in rows if row.startswith("btime "))
    except (OSError, StopIteration, ValueError):
        return 0.0
    return boot + process.started / os.sysconf("SC_CLK_TCK")


class CodexProcess(Struct):
    """A Codex that runs on this machine, with its program and its arguments."""

    process: Process
    binary: str
    arguments: tuple[str, ...] = ()

    @property
    def serves_others(self) -> bool:
        """Whether it is an app-server: its sessions are most likely found on its socket."""
        return "app-server" in self.arguments


def codex_above(pid: int) -> CodexProcess | None:
    """The Codex among a process and those that it descends from; None where there is none."""
    for _ in range(MOST_ANCESTORS):
        started = _start_ticks(pid) if pid > 1 else None
        if started is None:
            return None
        folder = Path(f"/proc/{pid}")
        try:
            binary = (folder / "exe").readlink()
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            stat_line = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        if binary.name.startswith(ADAPTER):
            process = Process(pid=pid, started=started)
            return CodexProcess(process=process, binary=str(binary), arguments=tuple(words[1:]))
        pid = int(stat_line.rpartition(")")[2].split()[1])
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, rows):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    # A zombie has ended: nothing of it can act any more.
    return None if fields[0] in "ZX" else int(fields[19])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
