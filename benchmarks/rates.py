"""The hub's rates: POST /api/messages over 64 connections, durable and not."""

from __future__ import annotations

import shutil

from benchmarks.figures import Goal, Round, Section, row
from benchmarks.hub import hub, register
from benchmarks.load import Rate, client
from benchmarks.stage import Stage

CONNECTIONS = 64


async def measure(stage: Stage) -> Section:
    """Load a fresh hub of each kind in every round."""
    rounds: list[Round] = []
    for number in range(stage.size.rounds):
        stage.say(f"rates: round {number + 1} of {stage.size.rounds}")
        durable = await _loaded(stage, durable=True)
        not_durable = await _loaded(stage, durable=False)
        rounds.append({**durable, **not_durable})
    beside = "the same hub, synchronous=OFF"
    return Section(
        name="rates",
        title="The hub's rate: POST /api/messages, 64 connections, answered after the commit",
        rows=(
            row(
                "durable", "durable", "/s", rounds,
                beside=("not durable",), yardstick=beside, goal=Goal(least=0.6),
            ),
            row("not durable", "not durable", "/s", rounds),
            row("durable: answered after, p50", "durable p50", "ms", rounds),
            row("durable: answered after, p99", "durable p99", "ms", rounds),
            row("durable: the hub's processor time", "durable CPU", "µs", rounds),
            row("not durable: the hub's processor time", "not durable CPU", "µs", rounds),
        ),
        notes=(
            "The load client is asyncio on raw HTTP/1.1, one process beside the hub's.",
            "Each connection posts to a recipient of its own; checks, token and limits included.",
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


async def _loaded(stage: Stage, *, durable: bool) -> Round:
    name = "durable" if durable else "not durable"
    async with hub(stage, name, durable=durable) as running:
        await register(running, CONNECTIONS)
        if stage.size.warm_s:
            async with client(stage, running, CONNECTIONS, stage.size.warm_s) as warming:
                await warming.says(Rate)
        before = running.cpu_s()
        async with client(stage, running, CONNECTIONS, stage.size.seconds) as loading:
            rate = await loading.says(Rate)
        used = running.cpu_s() - before
    shutil.rmtree(stage.folder / name)
    return {
        name: rate.per_second,
        f"{name} p50": rate.p50,
        f"{name} p99": rate.p99,
        f"{name} CPU": used / rate.answered * 1e6,
    }
