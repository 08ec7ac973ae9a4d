"""docs/reference/settings.md names every variable and every key of config.toml, with its default.

The variables are written by their table, the keys by hand, because only people can say what a key
means. Run this file to write the variables again: ``python tests/docs/test_settings_reference.py``.
"""

import json
import re
from pathlib import Path

from relay_cli.variables import VARIABLES
from relay_core.settings import parse
from relay_core.variables import Reach

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
BEGIN = "<!-- variables: written by tests/docs/test_settings_reference.py -->"
END = "<!-- end of the variables -->"
HEADINGS = {
    Reach.MACHINE: "### For everything that runs",
    Reach.SESSION: "### For one session: they count for `agent-relay-codex start` only",
    Reach.TEST: "### For the project's own tests",
}
_ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def variables() -> str:
    """The tables of the variables."""
    parts: list[str] = []
    for reach, heading in HEADINGS.items():
        parts += [heading, "", "| variable | default | meaning |", "|---|---|---|"]
        parts += [
            f"| `{each.name}` | {each.default or '-'} | {each.meaning} |"
            for each in VARIABLES
            if each.reach is reach
        ]
        parts.append("")
    return "\n".join(parts)


def test_the_page_names_each_variable_as_its_table_does():
    page = PAGE.read_text(encoding="utf-8")

    written = page.split(f"{BEGIN}\n\n", 1)[1].split(END, 1)[0]
    assert written == variables(), f"run: python {Path(__file__).name}"


def test_the_page_names_each_key_with_its_default():
    page = PAGE.read_text(encoding="utf-8").split("## config.toml", 1)[1]

    told = dict(_ROW.findall(page))
    counts = {
        one.key: "-" if json.loads(one.value) is None else f"`{one.value}`"
        for one in parse({}, "", file=Path("/config.toml")).origins
        if one.key != "hub.token"
    }
    assert {key: told.get(key) for key in counts} == counts
    assert set(told) - set(counts) == set()


if __name__ == "__main__":
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)
    PAGE.write_text(f"{head}{BEGIN}\n\n{variables()}{END}{rest.split(END, 1)[1]}", encoding="utf-8")
