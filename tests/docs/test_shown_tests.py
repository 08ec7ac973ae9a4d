"""The pages that promise something promise nothing that no test shows."""

from pathlib import Path

import pytest

from shown_tests import ROOT, missing_from, named_in, rows_of

EXPLAINED = ROOT / "docs" / "explanation"
PAGES = {
    ROOT / "SECURITY.md": 14,
    EXPLAINED / "storage-faults.md": 20,
    EXPLAINED / "guarantees.md": 20,
    EXPLAINED / "fault-matrix.md": 25,
}
"""Each page, and how many rows it has at least."""
NOT_HERE = "cannot run here: "


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_row_names_its_tests_or_why_there_is_none(page: Path):
    rows = rows_of(page)

    assert len(rows) >= PAGES[page]
    assert [row for row in rows if not named_in(row) and NOT_HERE not in row] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_test_that_is_named_is_there(page: Path):
    assert missing_from(page) == []
