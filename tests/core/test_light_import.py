"""Importing relay_core is cheap: a plugin and a command that runs often pay for it each time."""

import subprocess
import sys

HEAVY = {
    "asyncio",
    "hashlib",
    "httpx",
    "importlib.metadata",
    "logging",
    "random",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "websockets",
}
SHOW = "import sys, relay_core; print(*sys.modules)"


MACHINERY = {"relay_core.hooks", "relay_core.host", "relay_core.hub_client", "relay_core.sidecar"}


def test_the_public_names_come_without_what_only_a_running_host_needs():
    # -S: what an environment's own .pth files import is no doing of ours.
    paths = ":".join(sys.path)
    shown = subprocess.run(
        [sys.executable, "-S", "-c", SHOW],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": paths},
    )

    assert (HEAVY | MACHINERY) & set(shown.stdout.split()) == set()
