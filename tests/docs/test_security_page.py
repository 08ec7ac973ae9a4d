"""SECURITY.md promises nothing that no test shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def test_each_defence_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "shown by" not in line]

    assert len(rows) >= 14
    assert [row for row in rows if not TEST.search(row)] == []


def test_each_test_that_is_named_is_there():
    missing = [
        f"{path}::{name}"
        for path, name in TEST.findall(PAGE)
        if not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]

    assert missing == []
