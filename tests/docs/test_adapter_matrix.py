"""docs/reference/adapter-matrix.md says what the kit measures.

Run this file to write it again: ``python tests/docs/test_adapter_matrix.py``, with
AGENT_RELAY_TEST_CODEX_163 and _169 set where those are not found by themselves. What it says of
Codex is compared in tests/integration/test_codex_conformance.py, on each version.
"""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from adapter_pages import PAGE, write, written
from relay_core.testing.adapter_driver import driver_factory
from relay_core.testing.adapter_kit import AdapterReport, Options, check_adapter, markdown
from relay_core.testing.adapter_report import RANKS


async def measured(adapter: str, program: Path | None = None) -> AdapterReport:
    """What the kit says of an adapter on this machine."""
    factory = driver_factory(adapter)
    assert factory is not None
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        async with factory(Path(folder), Options(program=program)) as driver:
            return await check_adapter(driver)


@pytest.mark.parametrize("adapter", ["echo"])
async def test_the_page_says_what_is_measured(adapter: str):
    report = await measured(adapter)

    assert written(report) == markdown(report), f"run: python {Path(__file__).name}"


def test_the_page_explains_every_capability():
    text = PAGE.read_text(encoding="utf-8")

    assert [name for name in RANKS if f"* **{name}**: " not in text] == []


if __name__ == "__main__":
    from real_codex import NPM_BINARY, VARIABLES

    reports = [asyncio.run(measured("echo"))]
    for variable in VARIABLES.values():
        named = Path(os.environ[variable]) if variable in os.environ else None
        found = min(named.glob(NPM_BINARY)) if named and named.is_dir() else named
        reports.append(asyncio.run(measured("codex", found)))
    write(*reports)
