"""Waiting for something in front of a person: what takes over a second is shown to be under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from relay_cli.output import Output

SHOWN_AFTER_S = 1.0

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T], output: Output, doing: str) -> T:
    """Run work to its end in a loop of its own; say what is being done once it takes a second."""
    return asyncio.run(_shown(work, output, doing))


async def _shown(work: Coroutine[Any, Any, T], output: Output, doing: str) -> T:
    task = asyncio.ensure_future(work)
    began = time.monotonic()
    try:
        while not (await asyncio.wait({task}, timeout=SHOWN_AFTER_S))[0]:
            output.progress(f"{doing} … {time.monotonic() - began:.0f} s")
        return task.result()
    finally:
        output.progress_done()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
