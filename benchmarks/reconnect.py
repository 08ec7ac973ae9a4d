"""Back after a restart: how long until a plain session is connected again and has its mail.

A user's own `codex` in a terminal, with the daemon that it starts, beside `agent-relay up`; then
everything that can be restarted is restarted, and each time mail is sent meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.figures import Goal, Round, Row, Section, row
from benchmarks.restarts import Desk
from benchmarks.stage import Stage
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import StubModel
from relay_plugins.codex.testing.plain_codex import PlainCodex

MOST_ROUNDS = 3
GOAL = Goal(most=5)
NEW_HOME = "first codex of a new home: terminal UI ready → connected"
OPENED = "codex: terminal UI ready, daemon there → connected"
EVENTS = {
    "opened": OPENED,
    "stopped": "daemon stop, start → connected, mail listed",
    "killed": "kill -9 of the daemon, start → connected, mail listed",
    "resumed": "/quit, codex resume ready → connected, mail listed",
    "host": "kill -9 of the host, up → connected, mail listed",
    "handover": "up of another version takes over → connected, mail listed",
}
EMULATOR = "pyte"
NO_EMULATOR = "the terminal needs pyte: pip install --group test, or tox -e bench"
NOTES = (
    "The real terminal UI on a pty, and the daemon that it starts for itself; the stub model.",
    "Listed: the host has found the message's item in Codex's own list, and the hub knows it.",
    "From: `codex app-server daemon start` has returned, and the terminal UI comes back by itself.",
    "From: `agent-relay up` is typed; the mail is sent as soon as there is a hub again.",
    "After `/quit` the daemon is ended, too: only so is the thread unloaded at once.",
    "In a new home Codex copies its 380 MB before it has a daemon; its composer is there earlier.",
)


async def measure(stage: Stage) -> Section:
    """Measure every Codex that is there; a row says so where one is not."""
    rows: list[Row] = []
    rounds: list[Round] = []
    for wanted in wanted_codexes(stage.environ):
        why = wanted.why if isinstance(wanted, Missing) else _without_emulator()
        if isinstance(wanted, Missing) or why:
            name = wanted.name if isinstance(wanted, Missing) else f"Codex {wanted.version}"
            rows.append(Row(name=f"{OPENED}, {name}", unit="s", goal=GOAL, missing=why))
            continue
        found = await _measure_one(stage, wanted)
        rows += _rows(wanted, found)
        rounds += found
    return Section(
        name="reconnect",
        title="A plain session, connected again",
        rows=tuple(rows),
        notes=NOTES,
        rounds=tuple(rounds),
    )


def _without_emulator() -> str:
    return "" if importlib.util.find_spec(EMULATOR) else NO_EMULATOR


def _rows(codex: CodexBinary, rounds: list[Round]) -> list[Row]:
    version = codex.version
    return [
        *(
            row(f"{name}, Codex {version}", f"{version} {key}", "s", rounds, goal=GOAL)
            for key, name in EVENTS.items()
        ),
        row(f"{NEW_HOME}, Codex {version}", f"{version} ready", "s", rounds[:1]),
    ]


async def _measure_one(stage: Stage, codex: CodexBinary) -> list[Round]:
    rounds: list[Round] = []
    most = min(stage.size.rounds, MOST_ROUNDS)
    async with _desk(stage, codex) as desk:
        for number in range(most):
            stage.say(f"reconnect: Codex {codex.version}, round {number + 1} of {most}")
            took = await _round(desk)
            rounds.append({f"{codex.version} {name}": each for name, each in took.items()})
    return rounds


async def _round(desk: Desk) -> dict[str, float]:
    """Go through everything that can happen to one session."""
    opened = await desk.open()
    took = {"opened": opened.after_daemon, "ready": opened.after_ready}
    await desk.first_word()
    took["stopped"] = await desk.daemon_again(desk.codex.stop_daemon)
    took["killed"] = await desk.daemon_again(desk.codex.kill_daemon)
    took["resumed"] = await desk.resume()
    took["host"] = await desk.host_again()
    took["handover"] = await desk.other_version()
    await desk.close()
    return took


@asynccontextmanager
async def _desk(stage: Stage, codex: CodexBinary) -> AsyncGenerator[Desk]:
    """One user with a home, one CODEX_HOME for all rounds, and nothing left at the end."""
    folder = stage.socket_folder / codex.version
    home = folder / "home"
    cwd = home / "shop"
    cwd.mkdir(parents=True)
    try:
        with StubModel() as model:
            plain = PlainCodex(codex, home, folder / "codex", cwd, model)
            plain.configure(approval="never")
            desk = Desk(plain, folder, stage.environ)
            try:
                await desk.up()
                yield desk
            finally:
                await desk.end()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
