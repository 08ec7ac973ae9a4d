"""No file is made through a link that somebody else has laid."""

import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
FILES = [each for each in sorted(SRC.rglob("*.py")) if "O_CREAT" in each.read_text()]


def test_files_are_made_with_a_mode_of_their_own_somewhere():
    assert len(FILES) >= 5


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_who_makes_a_file_follows_no_link(file: Path):
    made = [line for line in file.read_text().splitlines() if re.search(r"\bO_CREAT\b", line)]

    assert [line for line in made if "O_NOFOLLOW" not in line] == []
