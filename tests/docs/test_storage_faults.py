"""docs/explanation/storage-faults.md promises nothing that no test shows."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "storage-faults.md"
SHOWN = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")


def test_each_row_names_a_test_that_there_is():
    rows = [line for line in PAGE.read_text(encoding="utf-8").split("\n") if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith("| fault |")]
    named = {row: SHOWN.findall(row.split(" | ")[-1]) for row in faults}

    assert len(faults) > 20
    assert [row for row, tests in named.items() if not tests] == []
    assert [
        f"{file}::{name}"
        for tests in named.values()
        for file, name in tests
        if name not in _tests_in(ROOT / file)
    ] == []


def _tests_in(file: Path) -> set[str]:
    found = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {each.name for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
