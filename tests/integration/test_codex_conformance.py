"""The Codex adapter keeps every promise of the port, on a real Codex, and the page says so."""

from pathlib import Path

import pytest

from adapter_pages import written
from relay_core.testing.adapter_kit import Options, Verdict, check_adapter, markdown
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing.driver import open_driver


@pytest.mark.timeout(300)
async def test_the_codex_adapter_keeps_every_promise(codex_binary: CodexBinary, short_path: Path):
    async with open_driver(short_path, Options(program=codex_binary.path)) as driver:
        report = await check_adapter(driver)

    assert {each.name: each.detail for each in report.checks if each.verdict is not Verdict.OK} == {
        "never_proved": "the adapter claims proof"
    }
    assert {each.name: each.measured for each in report.matrix} == {
        "wake": "yes",
        "steer": "live",
        "interrupt": "yes",
        "prove": "by_id",
        "reply": "linked",
        "visible": "yes",
    }
    assert written(report) == markdown(report), "run: python tests/docs/test_adapter_matrix.py"
