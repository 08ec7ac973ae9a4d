"""A session's status in a file that its environment names."""

import json
import stat
from pathlib import Path
from typing import Any

import msgspec

from host_bench import KEY, Bench, running
from relay_core import DeliveryState, SessionSeen
from relay_core.clock import SystemClock, SystemRandom
from relay_core.host_api import AttachedList
from relay_core.testing import MemoryAgent
from user_commands import until as ask_until


class Told(MemoryAgent):
    """An agent whose sessions name a status file."""

    file: Path

    def _seen(self, thread: Any) -> SessionSeen:
        seen = super()._seen(thread)
        return msgspec.structs.replace(seen, status_file=str(self.file))


def agent_with(file: Path) -> Told:
    agent = Told(SystemClock(), SystemRandom())
    agent.file = file
    return agent


async def becomes(file: Path, **wanted: object) -> dict[str, Any]:
    """Wait until the file says all of this."""
    import asyncio

    def read() -> dict[str, Any] | None:
        if not file.exists():
            return None
        said = json.loads(file.read_bytes())
        return said if wanted.items() <= said.items() else None

    said = await asyncio.to_thread(ask_until, f"{file} says {wanted}", read)
    assert said is not None
    return said


async def test_the_file_says_what_the_status_does_and_goes_with_the_session(
    bench: Bench, tmp_path: Path
):
    file = tmp_path / "state.json"
    async with running(bench.host(agent=agent_with(file))):
        agent = await bench.attach()
        message = await bench.send(agent)
        await bench.becomes(message, DeliveryState.DELIVERED)
        said = await becomes(file, pending=0, threadStatus="idle", connection="connected")
        mode = stat.S_IMODE(file.stat().st_mode)
        (session,) = await bench.sessions()
        await bench.ask("memory.detach", AttachedList, {"agentId": agent})
        await _gone(file)

    assert mode == 0o600
    assert (said["agentId"], said["threadId"]) == (agent, KEY)
    assert (said["agentInstanceId"], said["agentEpoch"]) == (session.instance_id, session.epoch)
    assert said["activeTurnId"] is None
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".state")] == []


async def test_a_file_that_cannot_be_written_keeps_no_mail_back(bench: Bench, tmp_path: Path):
    async with running(bench.host(agent=agent_with(tmp_path / "missing" / "state.json"))):
        agent = await bench.attach()
        message = await bench.send(agent)

        await bench.becomes(message, DeliveryState.DELIVERED)


async def test_a_file_that_another_has_written_since_is_left_alone(bench: Bench, tmp_path: Path):
    file = tmp_path / "state.json"
    async with running(bench.host(agent=agent_with(file))):
        agent = await bench.attach()
        await becomes(file, threadStatus="idle")
        file.write_text("another session's")
        await bench.ask("memory.detach", AttachedList, {"agentId": agent})

    assert file.read_text() == "another session's"


async def _gone(file: Path) -> None:
    import asyncio

    await asyncio.to_thread(ask_until, f"{file} is gone", lambda: not file.exists())
