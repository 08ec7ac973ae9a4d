"""Files speak of the project alone."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Written in pieces, so that this file passes its own test.
FORBIDDEN = {
    "a registry's host": r"pypi\.o" r"rg|files\.pythonhosted|npmjs\.(com|o" r"rg)|crates\.i" r"o\b",
    "a path of one machine": r"/wor" r"k/(main|scratch|shared|\.library)|/roo" r"t/",
    "a document outside the repository": r"DESIGN\.m" r"d|BRIEF\.m" r"d",
    "a mark of unfinished work": r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b",
}
MAX_BYTES = 400_000


def test_no_tracked_file_names_what_lies_outside_the_project():
    assert [
        f"{name}:{number}: {what}"
        for name, text in _tracked_texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if re.search(pattern, line)
    ] == []


def test_no_tracked_file_is_binary_or_large():
    assert [
        str(path.relative_to(ROOT))
        for path in _tracked()
        if path.stat().st_size > MAX_BYTES or b"\0" in path.read_bytes()
    ] == []


def _tracked_texts() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace"))
        for path in _tracked()
    ]


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]
