"""What every ring of the tests shares; the parts are in ``tests/fixtures``."""

import os
import signal

import pytest

pytest_plugins = [
    "isolation",
    "leak_check",
    "skip_list",
    "codex_runs",
    "real_codex",
    "plain_codex",
    "hypothesis_profile",
    "faulty_disk",
    "second_tries",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and it is inherited: nothing that the tests
    # start could be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

MORE_WORKERS = 2
"""How many more workers `-n auto` starts than there are processors: tests wait for half of their
time, for processes that they started."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-pictures",
        action="store_true",
        help="write what README shows of a terminal from what this run shows",
    )
    parser.addoption(
        "--handovers",
        type=int,
        metavar="N",
        help="how many pieces of work tests/integration/test_handovers.py hands out (default: 12)",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=1,
        metavar="N",
        help="how often tests/integration/test_kills.py kills in each of its cells (default: 1)",
    )
    parser.addoption(
        "--histories",
        metavar="FOLDER",
        help="where it writes what happened, as JSON lines",
    )
    parser.addoption(
        "--storms",
        type=int,
        default=12,
        metavar="N",
        help="how many storms tests/simulation/test_storms.py goes through (default: 12)",
    )
    parser.addoption(
        "--first-storm",
        type=int,
        default=0,
        metavar="K",
        help="the seed of the first of them (default: 0)",
    )
    parser.addoption(
        "--faults-apart",
        type=int,
        default=37,
        metavar="N",
        help="let tests/hub/test_failing_disk.py fail each Nth write (default: 37)",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return len(os.sched_getaffinity(0)) + MORE_WORKERS
