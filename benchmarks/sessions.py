"""Many sessions on one host: what they cost in memory, and in processor time when nothing happens.

The sessions are loaded threads of a real Codex. Both ways of running a host are measured at the
same time, each beside a Codex of its own: with the hub in its process, and alone.
"""

from __future__ import annotations

import asyncio
import shutil
import time

from benchmarks.codexes import Missing, wanted_codexes
from benchmarks.figures import Goal, Round, Row, Section, row
from benchmarks.hosts import Host, host
from benchmarks.hub import hub
from benchmarks.process import MISSING, PROC, cpu_s, memory
from benchmarks.stage import Size, Stage
from relay_core.hub_api import SendRequest
from relay_core.messages import AgentId, DeliveryState
from relay_plugins.codex.launcher import CodexBinary

MOST_ROUNDS = 3
LOOK_S = 0.05
LIMIT_S = 60.0

EMBEDDED = "host with its hub"
ALONE = "host alone"
MOST_MB = Goal(most=60)
MOST_KB = Goal(most=100)
MOST_SHARE = Goal(most=1 / 100)
MOST_PERCENT = Goal(most=1)


async def measure(stage: Stage) -> Section:
    """Measure both ways; where there is no Codex or no /proc, a row says so."""
    count = stage.size.sessions
    codex = wanted_codexes(stage.environ)[0]
    rounds: list[Round] = []
    if isinstance(codex, Missing) or not PROC.exists():
        why = codex.why if isinstance(codex, Missing) else MISSING
        name = f"{EMBEDDED}: resident with one session"
        rows: tuple[Row, ...] = (Row(name=name, unit="MB", goal=MOST_MB, missing=why),)
    else:
        for number in range(min(stage.size.rounds, MOST_ROUNDS)):
            stage.say(f"sessions: round {number + 1} of {min(stage.size.rounds, MOST_ROUNDS)}")
            both = (_embedded(stage, codex), _alone(stage, codex))
            embedded, alone = await asyncio.gather(*both)
            rounds.append({**embedded, **alone})
        rows = (*_rows(EMBEDDED, count, rounds), *_rows(ALONE, count, rounds))
    return Section(
        name="sessions",
        title=f"{count} sessions on one host",
        rows=rows,
        notes=_notes(stage),
        rounds=tuple(rounds),
    )  # fmt: skip


def _notes(stage: Stage) -> tuple[str, ...]:
    size = stage.size
    further = size.sessions - 1
    return (
        "Each session is a loaded thread of a real Codex that has had a turn, with the stub model.",
        "Resident (RSS) counts shared pages whole, proportional (PSS) its share of them.",
        f"Memory is read {size.settle_s:g} s after the last registration; 1 KB is 1,024 bytes.",
        f"Each further session: what {further} more sessions add, divided by {further}.",
        f"Idle: user and system time over {size.idle_s:g} s in which nothing happens.",
    )


def _rows(who: str, count: int, rounds: list[Round]) -> tuple[Row, ...]:
    return (
        row(f"{who}: resident with one session", f"{who} rss", "MB", rounds, goal=MOST_MB),
        row(f"{who}: proportional with one session", f"{who} pss", "MB", rounds),
        row(f"{who}: each further session, resident", f"{who} further", "KB", rounds, goal=MOST_KB),
        row(
            f"{who}: the same beside a process per session", f"{who} further", "KB", rounds,
            beside=(f"{who} pss KB",), yardstick="its process with one session, proportional",
            goal=MOST_SHARE,
        ),
        row(f"{who}: each further session after a message to each", f"{who} used", "KB", rounds),
        row(
            f"{who}: idle with {count} sessions, of a core", f"{who} idle", "%", rounds,
            goal=MOST_PERCENT,
        ),
    )  # fmt: skip


async def _embedded(stage: Stage, codex: CodexBinary) -> Round:
    async with host(stage, codex, "embedded", threads=stage.size.sessions) as running:
        return await _figures(running, EMBEDDED, stage.size)


async def _alone(stage: Stage, codex: CodexBinary) -> Round:
    name = "sessions-hub"
    async with hub(stage, name) as elsewhere:
        named = {"AGENT_RELAY_URL": elsewhere.url, "AGENT_RELAY_TOKEN": elsewhere.token}
        async with host(
            stage, codex, "alone", threads=stage.size.sessions, variables=named
        ) as running:
            figures = await _figures(running, ALONE, stage.size)
    shutil.rmtree(stage.folder / name)
    return figures


async def _figures(running: Host, who: str, size: Size) -> Round:
    """Attach one thread, then all; read what the host costs at each step."""
    await running.attach(running.threads[0])
    await asyncio.sleep(size.settle_s)
    one = memory(running.pid)
    agents = await running.attach()
    await asyncio.sleep(size.settle_s)
    every = memory(running.pid)
    idle = await _idle_percent(running.pid, size.idle_s)
    for agent_id in agents:
        await _deliver_to(running, agent_id)
    await asyncio.sleep(size.settle_s)
    used = memory(running.pid)
    further = len(running.threads) - 1
    return {
        f"{who} rss": one.rss / 1024,
        f"{who} pss": one.pss / 1024,
        f"{who} pss KB": one.pss,
        f"{who} further": (every.rss - one.rss) / further,
        f"{who} used": (used.rss - one.rss) / further,
        f"{who} idle": idle,
    }


async def _idle_percent(pid: int, seconds: float) -> float:
    """How much of a core a process uses while it is left alone for so long."""
    used_s, began = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return 100 * (cpu_s(pid) - used_s) / (time.monotonic() - began)


async def _deliver_to(running: Host, agent_id: AgentId) -> None:
    """Send a message and wait until the session has it."""
    sent = await running.hub.send(SendRequest(to=agent_id, body=f"to {agent_id}"))
    async with asyncio.timeout(LIMIT_S):
        while True:
            (delivery,) = (await running.hub.message(sent.id)).deliveries
            if delivery.state is DeliveryState.DELIVERED:
                return
            await asyncio.sleep(LOOK_S)
