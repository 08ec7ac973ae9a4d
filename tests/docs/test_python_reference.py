"""docs/reference/python.md says how the calls of `relay_core.asking` are made."""

import inspect
from pathlib import Path

import pytest

from relay_core import asking

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("call", [asking.ask, asking.wait_for_answers])
def test_the_page_shows_every_call_with_its_arguments(call):
    arguments = inspect.signature(call, eval_str=False).parameters.values()
    named = [
        f"{each.name}={each.default}" if each.default is not each.empty else each.name
        for each in arguments
        if each.kind is each.KEYWORD_ONLY
    ]
    positional = [each.name for each in arguments if each.kind is not each.KEYWORD_ONLY]

    assert f"await {call.__name__}({', '.join([*positional, '*', *named])})" in PAGE


@pytest.mark.parametrize("kind", [asking.Asked, asking.Answered])
def test_the_page_names_every_field_of_what_they_answer(kind):
    assert f"`{', '.join(kind.__struct_fields__)}`" in PAGE
