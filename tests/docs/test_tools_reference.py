"""docs/reference/tools.md lists the tools that there are, as a model is told of them.

Run this file to write it again: ``python tests/docs/test_tools_reference.py``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relay_plugins.codex.tools.table import TABLE
from relay_plugins.codex.tools.tool import AnyTool, listed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tools.md"
MARK = "<!-- below: the tools as they are listed, written by tests/docs/test_tools_reference.py -->"


def reference() -> str:
    """Every tool with its arguments and the fields of its answer."""
    return "\n".join(line for tool in TABLE for line in _section(tool))


def _section(tool: AnyTool) -> Iterator[str]:
    shown = listed(tool)
    kind = "changes nothing" if tool.reads else "may be repeated" if tool.repeatable else ""
    yield f"## {tool.name}: {tool.title[0].lower()}{tool.title[1:]}\n"
    yield f"{tool.about}{f' ({kind.capitalize()}.)' if kind else ''}\n"
    arguments = shown.input_schema.get("properties", {})
    if arguments:
        needed = shown.input_schema.get("required", [])
        yield "| argument | | |\n|---|---|---|"
        for name, value in arguments.items():
            yield f"| `{name}` | {_kind(value, name in needed)} | {value['description']} |"
        yield ""
    answered = ", ".join(shown.output_schema["properties"])
    parts = {
        name.lower(): ", ".join(each["properties"])
        for name, each in shown.output_schema.get("$defs", {}).items()
        if "properties" in each
    }
    inner = "".join(f"; each with `{fields}`" for fields in parts.values())
    yield f"Answers `{answered}`{inner}.\n"


def _kind(value: dict[str, Any], needed: bool) -> str:  # noqa: FBT001 - a word of the schema
    return f"{value['type']}{', needed' if needed else ''}"


def test_the_page_lists_the_tools_as_a_model_is_told_of_them():
    written = PAGE.read_text(encoding="utf-8").split(f"{MARK}\n\n", 1)[1]

    assert written == reference(), f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").split(MARK, 1)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{reference()}", encoding="utf-8")
