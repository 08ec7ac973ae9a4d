"""docs/reference/python.md says how the calls of `relay_core.asking` are made, and lists what
`relay_core.testing` has, in the words of its docstrings.

Run this file to write that list again: ``python tests/docs/test_python_reference.py``.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay_core import asking, pytest_plugin, testing

FILE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
PAGE = FILE.read_text(encoding="utf-8")
MARK = "<!-- below: written by tests/docs/test_python_reference.py -->"


def arguments(call: Callable[..., Any]) -> str:
    """A call's arguments as a page shows them, without types."""
    shown: list[str] = []
    for each in inspect.signature(call, eval_str=False).parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not any(name.startswith("*") for name in shown):
            shown.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        shown.append(f"{stars}{each.name}{_default(each.default)}")
    return ", ".join(shown)


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    return f"={value!r}" if isinstance(value, str | float | int | tuple | None) else "=…"


def reference() -> str:
    """One heading for each public name of `relay_core.testing`, and a table of what it has."""
    return "\n".join(line for name in sorted(testing.__all__) for line in _section(name))


def _section(name: str) -> Iterator[str]:
    value = getattr(testing, name)
    yield from (f"### {name}", "", f"`{name}{_made_with(value)}`: {_told(value)}", "")
    members = list(_members(value)) if inspect.isclass(value) else []
    if members:
        yield from ("| | |", "|---|---|", *members, "")


def _made_with(value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, Exception):
        return ""
    fields = getattr(value, "__struct_fields__", None)
    return f"({arguments(value) if fields is None else ', '.join(fields)})"


def _members(kind: type) -> Iterator[str]:
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield f"| `{name}` | {_told(member, 1)} |"
        elif inspect.isfunction(member):
            waits = "await " if inspect.iscoroutinefunction(member) else ""
            yield f"| `{waits}{name}({arguments(member)})` | {_told(member, 1)} |"


def _told(value: Any, most: int | None = None) -> str:
    """Its docstring on one line; the first `most` paragraphs of it."""
    paragraphs = (inspect.getdoc(value) or "").split("\n\n")
    return " ".join(" ".join(paragraphs[:most]).split())


@pytest.mark.parametrize("call", [asking.ask, asking.wait_for_answers])
def test_the_page_shows_every_call_with_its_arguments(call):
    assert f"await {call.__name__}({arguments(call)})" in PAGE


@pytest.mark.parametrize("kind", [asking.Asked, asking.Answered])
def test_the_page_names_every_field_of_what_they_answer(kind):
    assert f"`{', '.join(kind.__struct_fields__)}`" in PAGE


def test_the_page_lists_what_plugins_tests_may_use_in_its_own_words():
    assert PAGE.split(f"{MARK}\n\n", 1)[1] == reference(), f"run: python {Path(__file__).name}"


def test_the_page_names_every_fixture_and_the_marker():
    fixtures = [
        name
        for name, value in vars(pytest_plugin).items()
        if type(value).__name__ == "FixtureFunctionDefinition"
    ]

    assert fixtures == ["relay", "relay_clock", "decisions"]
    assert all(f"| `{name}` |" in PAGE for name in fixtures)
    assert f"`@pytest.mark.{pytest_plugin.MARKER.split(':')[0]}`" in PAGE


if __name__ == "__main__":
    FILE.write_text(f"{PAGE.split(MARK, 1)[0]}{MARK}\n\n{reference()}", encoding="utf-8")
