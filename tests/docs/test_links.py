"""No page points to what is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def test_every_link_to_a_file_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]

    assert [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ] == []


def test_every_page_is_found_from_the_readme():
    found: set[Path] = set()
    open_pages = [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page.suffix == ".md" and page not in found:
            found.add(page)
            targets = LINK.findall(page.read_text(encoding="utf-8"))
            open_pages += [(page.parent / each).resolve() for each in targets]

    decisions = ROOT / "docs" / "decisions"  # linked as a folder
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page.parent != decisions}
    assert [str(page.relative_to(ROOT)) for page in sorted(pages - found)] == []


def test_every_decision_has_a_number_of_its_own():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [(each.name[:4], each.read_text().partition(".")[0]) for each in decisions] == [
        (f"{number:04}", f"# {number}") for number in range(1, len(decisions) + 1)
    ]
