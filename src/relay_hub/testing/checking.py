"""The suite without pytest: every case on a store of its own, and a report."""

from __future__ import annotations

import asyncio
import linecache
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import msgspec

from relay_core.messages import Struct
from relay_hub.store import Store
from relay_hub.testing.conformance import StoreConformance

CASE_LIMIT_S = 60.0
_CASES = Path(__file__).parent

Case = Callable[[Store], Awaitable[None]]


class Row(Struct):
    """How one case ended; `detail` is None where it passed."""

    case: str
    ok: bool
    detail: str | None = None


class Report(Struct):
    """How every case ended, in the order of the suite."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every case passed."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        failed = [row for row in self.rows if not row.ok]
        lines = [f"failed: {row.case}\n    {row.detail}" for row in failed]
        return "\n".join([*lines, f"{len(self.rows) - len(failed)} of {len(self.rows)} cases ok"])


async def check_store(open_store: Callable[[], AbstractAsyncContextManager[Store]]) -> Report:
    """Try everything that a store must do, and tell what it did not.

    `open_store` gives a new, empty store each time. A case that takes longer than a minute fails.
    Raises RuntimeError under `python -O`, where nothing would be checked.
    """
    if not __debug__:
        raise RuntimeError("check_store checks nothing under python -O; run it without")
    return Report(rows=tuple([await _tried(name, open_store) for name in _names()]))


def _names() -> Iterator[str]:
    for part in StoreConformance.__bases__:
        yield from (name for name in vars(part) if name.startswith("test_"))


async def _tried(name: str, open_store: Callable[[], AbstractAsyncContextManager[Store]]) -> Row:
    passed = Row(case=name.removeprefix("test_").replace("_", " "), ok=True)
    case = cast("Case", getattr(StoreConformance(), name))
    try:
        async with asyncio.timeout(CASE_LIMIT_S), open_store() as store:
            await case(store)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's store does is its result
        return msgspec.structs.replace(passed, ok=False, detail=_where(error))
    return passed


def _where(error: Exception) -> str:
    """Name the line of the case that did not hold, and what was raised."""
    steps = traceback.extract_tb(error.__traceback__)
    told = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    own = [step for step in steps if Path(step.filename).parent == _CASES]
    inside = [step for step in own if Path(step.filename) != Path(__file__)]
    if not inside or inside[-1].lineno is None:
        return told
    last = inside[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    return f"{Path(last.filename).name}:{last.lineno}: {line} ({told})"
