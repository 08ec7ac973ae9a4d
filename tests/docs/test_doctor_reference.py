"""docs/reference/doctor.md names every finding as the doctor's own table does.

Run this file to write it again: ``python tests/docs/test_doctor_reference.py``.
"""

import re
from pathlib import Path

from relay_cli.doctor.kinds import KINDS
from relay_cli.doctor.mending import MENDERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "doctor.md"
TROUBLES = ROOT / "docs" / "how-to" / "troubleshooting.md"
MARK = "<!-- below: written by tests/docs/test_doctor_reference.py -->"
TESTS = sorted((ROOT / "tests" / "acceptance").glob("test_doctor*.py"))


def reference() -> str:
    """A section for each kind of finding."""
    parts: list[str] = []
    for kind in KINDS:
        parts += [f"## {kind.code}", "", f"*{kind.severity.value}* — {kind.means}", "", kind.mend]
        parts += ["", f"`--fix` {kind.mended}.", ""] if kind.mended else [""]
    return "\n".join(parts)


def test_the_page_says_what_the_table_says():
    written = PAGE.read_text(encoding="utf-8").split(f"{MARK}\n\n", 1)[1]

    assert written == reference(), f"run: python {Path(__file__).name}"


def test_each_code_stands_there_once_and_is_a_word_of_small_letters():
    codes = [kind.code for kind in KINDS]

    assert len(codes) == len(set(codes))
    assert [code for code in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)+", code)] == []


def test_what_can_be_mended_has_something_that_mends_it():
    assert {kind.code for kind in KINDS if kind.mended} == set(MENDERS)


def test_each_finding_is_made_by_a_test():
    tried = "".join(path.read_text(encoding="utf-8") for path in TESTS)

    assert [kind.code for kind in KINDS if f'"{kind.code}"' not in tried] == []


def test_the_page_of_troubles_leads_to_every_finding_and_to_nothing_else():
    named = re.findall(r"doctor\.md#([a-z-]+)", TROUBLES.read_text(encoding="utf-8"))

    assert set(named) == {kind.code for kind in KINDS}


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").split(MARK, 1)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{reference()}", encoding="utf-8")
