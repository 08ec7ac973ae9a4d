"""What a process costs, as the kernel tells it; Linux only."""

from __future__ import annotations

import os
from pathlib import Path

from relay_core import Struct

PROC = Path("/proc")
MISSING = "memory is read from /proc, which this system does not have"


class Memory(Struct):
    """Memory of a process in KiB: `rss` counts shared pages whole, `pss` its share of them."""

    rss: int
    pss: int


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used so far; 0 where that cannot be read."""
    stat = PROC / str(pid) / "stat"
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Read a process's memory; OSError where it is gone or there is no /proc."""
    sizes: dict[str, int] = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name] = int(size)
    return Memory(rss=sizes["Rss:"], pss=sizes["Pss:"])


def memory_alone(pid: int, shared: str) -> float:
    """The share of memory, in KiB, if nobody else had mapped the files that have `shared` in their
    path."""
    counted, kib = "", 0.0
    for line in (PROC / str(pid) / "smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            counted = "Rss:" if rest[4:] and shared in rest[4] else "Pss:"
        elif first == counted:
            kib += int(rest[0])
    return kib
