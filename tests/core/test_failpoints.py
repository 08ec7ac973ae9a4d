"""Failpoints act in tests only, and each hit leaves a line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relay_core import Failpoint, SettingsError
from relay_core.failpoints import (
    EXIT_STATUS,
    Action,
    ArmedFailpoints,
    Trap,
    from_environment,
    traps,
    unarmed,
)

POINT = Failpoint.CLAIMED
TEST = {"AGENT_RELAY_TEST": "1"}


async def test_without_the_variable_nothing_is_armed():
    assert from_environment({}) is unarmed
    assert from_environment(TEST) is unarmed
    assert not await unarmed(POINT)


@pytest.mark.parametrize("flag", ["", "0", "true", "11"])
def test_outside_a_test_asking_for_a_failpoint_is_refused(flag: str):
    with pytest.raises(SettingsError, match="AGENT_RELAY_FAILPOINT is set"):
        from_environment({"AGENT_RELAY_TEST": flag, "AGENT_RELAY_FAILPOINT": "claimed:kill"})


@pytest.mark.parametrize(
    "wanted",
    ["claimed", "claimed:", ":kill", "claimed:die", "nowhere:kill", "claimed:kill@0",
     "claimed:kill@-1", "claimed:pause", "claimed:pause:x", "claimed:pause:-1", "claimed:kill,",
     "claimed:kill@1@2", "CLAIMED:kill", "claimed:pause:٢"],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(wanted: str):
    with pytest.raises(SettingsError, match="AGENT_RELAY_FAILPOINT"):
        from_environment({**TEST, "AGENT_RELAY_FAILPOINT": wanted})


def test_several_traps_are_read():
    assert traps("claimed:kill@2, before_inject:pause:0.5,registered:drop") == (
        Trap(name=Failpoint.CLAIMED, action=Action.KILL, hit=2),
        Trap(name=Failpoint.BEFORE_INJECT, action=Action.PAUSE, pause_s=0.5),
        Trap(name=Failpoint.REGISTERED, action=Action.DROP),
    )


async def test_drop_asks_the_caller_at_each_hit_or_at_the_one_that_is_named():
    always = ArmedFailpoints(traps("claimed:drop"))
    second = ArmedFailpoints(traps("claimed:drop@2"))

    assert [await always(POINT) for _ in range(3)] == [True, True, True]
    assert [await second(POINT) for _ in range(3)] == [False, True, False]
    assert not await always(Failpoint.REGISTERED)


async def test_each_hit_on_which_it_acts_is_one_line(tmp_path: Path):
    log = tmp_path / "log"
    point = ArmedFailpoints(traps("claimed:drop@2,registered:pause:0"), log)
    await point(POINT)
    await point(POINT)
    assert not point.blocking(Failpoint.REGISTERED)

    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[:3] for line in lines] == [
        ["claimed", "2", str(os.getpid())],
        ["registered", "1", str(os.getpid())],
    ]
    assert all(float(line[3]) > 0 for line in lines)


@pytest.mark.parametrize(("action", "status"), [("kill", -signal.SIGKILL), ("exit", EXIT_STATUS)])
def test_the_line_is_written_before_the_process_is_gone(tmp_path: Path, action: str, status: int):
    log = tmp_path / "log"
    code = (
        "import asyncio, os\n"
        "from relay_core import Failpoint\n"
        "from relay_core.failpoints import from_environment\n"
        "asyncio.run(from_environment(os.environ)(Failpoint.CLAIMED))\n"
        "print('still here')\n"
    )
    environment = {
        **os.environ,
        **TEST,
        "AGENT_RELAY_FAILPOINT": f"claimed:{action}",
        "AGENT_RELAY_FAILPOINT_LOG": str(log),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=60
    )

    assert done.returncode == status
    assert done.stdout == b""
    assert log.read_text().startswith("claimed 1 ")
