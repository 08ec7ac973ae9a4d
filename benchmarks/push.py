"""A push to many connections: from the sending of a message to the last that hears of it."""

from __future__ import annotations

import asyncio
import base64
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import Goal, Round, Section, percentile, row
from benchmarks.hub import Running, hub, register
from benchmarks.stage import Stage

SOURCE = Path(__file__).with_name("broadcast.c")
HUB, BARE = "hub", "C epoll"
WATCH = b'{"type":"watch","agents":["bench-0"]}'
SPARE_FILES = 200
PATIENCE_S = 30.0
QUIET_S = 0.05
PUSHES = 8


async def measure(stage: Stage) -> Section:
    """Push to the watchers of a hub, and in the same round to those of a bare C program."""
    crowd = _crowd(stage)
    rounds: list[Round] = []
    program = await asyncio.to_thread(_build, stage)
    async with hub(stage, "push") as running:
        await register(running, 1)
        with ExitStack() as opened:
            watching = await asyncio.to_thread(_watchers, running, crowd)
            opened.callback(_close, watching)
            told: list[socket.socket] = []
            trigger: socket.socket | None = None
            if program is not None:
                port = opened.enter_context(_broadcaster(program))
                trigger = opened.enter_context(_connect(port))
                told = [_connect(port) for _ in range(crowd)]
                opened.callback(_close, told)
            for number in range(stage.size.rounds):
                stage.say(f"push: round {number + 1} of {stage.size.rounds}")
                rounds.append(await asyncio.to_thread(_round, running, watching, trigger, told))
    bare = () if program is None else (BARE,)
    return Section(
        name="push",
        title=f"A push to {crowd:,} connections, until the last has it",
        rows=(
            row("one message, until the last watcher's frame, p50", HUB, "ms", rounds,
                beside=bare, yardstick="a C epoll broadcaster" if bare else None,
                goal=Goal(most=5) if bare else None),
            *(row("a C epoll broadcaster, p50", BARE, "ms", rounds) for _ in bare),
        ),
        notes=(
            "Both are heard by one process, which polls all connections and reads what came.",
            "The hub's time begins before the request that sends, and has the commit in it.",
            *(() if bare else ("No C compiler here: there is no yardstick.",)),
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


def _crowd(stage: Stage) -> int:
    """So many connections, or what this process and its children may open."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_000 if stage.size.rounds > 1 else 20
    return min(wanted, (soft - SPARE_FILES) // 2)


def _build(stage: Stage) -> Path | None:
    if stage.compiler is None:
        return None
    program = stage.folder / "broadcast"
    done = subprocess.run(
        [stage.compiler, "-O2", "-o", str(program), str(SOURCE)], capture_output=True, check=False
    )
    return program if done.returncode == 0 else None


@contextmanager
def _broadcaster(program: Path) -> Generator[int]:
    with subprocess.Popen([program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def _watchers(running: Running, crowd: int) -> list[socket.socket]:
    """Websockets that watch one agent, each with nothing around it."""
    opened: list[socket.socket] = []
    for _ in range(crowd):
        one = _connect(urlsplit(running.url).port or 0)
        one.sendall(_head(running, "GET /api/stream", _upgrade()))
        answer = one.recv(4096)
        assert b" 101 " in answer.split(b"\r\n")[0], answer
        one.sendall(_masked(WATCH))
        assert b"watching" in one.recv(4096)
        opened.append(one)
    return opened


def _upgrade() -> dict[str, str]:
    key = base64.b64encode(os.urandom(16)).decode()
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }


def _head(running: Running, line: str, more: dict[str, str]) -> bytes:
    place = urlsplit(running.url).netloc
    fields = {"Host": place, "Authorization": f"Bearer {running.token}", **more}
    lines = (f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()))
    return "\r\n".join([*lines, "", ""]).encode()


def _masked(text: bytes) -> bytes:
    """One text frame of a client, shorter than 126 bytes; the mask is nothing."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


def _round(
    running: Running,
    watching: Sequence[socket.socket],
    trigger: socket.socket | None,
    told: Sequence[socket.socket],
) -> Round:
    body = b'{"to":"bench-0","body":"a word"}'
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    request = _head(running, "POST /api/messages", fields) + body
    with _connect(urlsplit(running.url).port or 0) as sender:
        hub_ms = [_push(partial(sender.sendall, request), watching) for _ in range(PUSHES)]
    found = {HUB: percentile(hub_ms, 0.5)}
    if trigger is not None:
        bare = partial(trigger.sendall, b"x")
        found[BARE] = percentile([_push(bare, told) for _ in range(PUSHES)], 0.5)
    return found


def _push(begin: Callable[[], None], hearing: Sequence[socket.socket]) -> float:
    """Begin one, and wait until the last of these has something; milliseconds."""
    poll = select.epoll()
    by_number = {each.fileno(): each for each in hearing}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    left = set(by_number)
    began = time.perf_counter()
    begin()
    while left and time.perf_counter() - began < PATIENCE_S:
        for number, _ in poll.poll(PATIENCE_S):
            by_number[number].recv(65_536)
            left.discard(number)
    took_ms = (time.perf_counter() - began) * 1_000
    assert not left, f"{len(left)} of {len(hearing)} heard nothing"
    while found := poll.poll(QUIET_S):  # what else the hub says of the same message
        for number, _ in found:
            by_number[number].recv(65_536)
    poll.close()
    return took_ms


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()
