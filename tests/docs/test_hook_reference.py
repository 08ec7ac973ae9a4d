"""docs/reference/hooks.md says of each hook what its spec says, word for word, with an example.

The examples are the files in tests/plugins/hooks: what stands on the page is a test that runs.

Run this file to write that part again: ``python tests/docs/test_hook_reference.py``.
"""

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

from relay_core import Verdict, hookspecs
from relay_core.discovery import check
from relay_core.hookspecs import DECISION_HOOKS, HOOK_NAMES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
EXAMPLES = Path(__file__).parents[1] / "plugins" / "hooks"
MARK = "## The hooks, in the order in which a message meets them\n"


def reference() -> str:
    """One heading for each hook, with its signature and its text."""
    return "\n".join(map(_section, HOOK_NAMES))


def _section(name: str) -> str:
    spec = getattr(hookspecs, name)
    lines = inspect.getsource(spec).split('    """')[0].splitlines()
    signature = "\n".join(line for line in lines if not line.startswith("@"))
    told = inspect.getdoc(spec) or ""
    arguments = re.search(r"Args:\n((?: {4}.*\n?)+)", told)
    listed = _list(arguments[1]) if arguments else ""
    text = told.replace(arguments[0], listed) if arguments else told
    names = ", ".join(inspect.signature(spec).parameters)
    heading = f"### {name}({names})\n\n```text\n{signature.removesuffix(':')}\n```\n"
    return f"{heading}\n{text}\n\n```python\n{example(name)}```\n"


def example(name: str) -> str:
    """A plugin with this hook and its test, as the file has them."""
    return (EXAMPLES / f"test_hook_{name}.py").read_text(encoding="utf-8")


def _list(arguments: str) -> str:
    """`Args` of a docstring as a list."""
    joined = re.sub(r"\n {5,}", " ", arguments)
    return re.sub(r"^ {4}(\w+): (.*)$", r"* `\1`: \2", joined, flags=re.MULTILINE)


def test_the_reference_says_what_the_specs_say():
    written = PAGE.read_text(encoding="utf-8").split(f"{MARK}\n", 1)[1]

    assert written == reference()


def test_every_hook_has_its_place_and_says_who_answers_by_default_and_since_when():
    specs = [
        name
        for name, value in vars(hookspecs).items()
        if inspect.isfunction(value) and hasattr(value, f"{hookspecs.PROJECT}_spec")
    ]

    assert tuple(specs) == HOOK_NAMES
    assert set(HOOK_NAMES) > DECISION_HOOKS
    for name in HOOK_NAMES:
        text = " ".join((inspect.getdoc(getattr(hookspecs, name)) or "").split())
        assert re.search(r"Since: [0-9]+\.[0-9]+\.$", text), name
        assert re.search(r"Default: |Every plugin is ", text), name


def test_the_example_of_every_hook_implements_it_and_is_a_test():
    for name in HOOK_NAMES:
        nodes = list(ast.walk(ast.parse(example(name))))
        defined = [
            node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

        assert [node.name for node in defined if _is_hook(node) and node.name == name], name
        assert [node.name for node in defined if node.name.startswith(f"test_hook_{name}_")], name


def _is_hook(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("hookimpl" in ast.unparse(each) for each in node.decorator_list)


def test_the_example_at_the_top_is_a_plugin_that_does_what_it_says():
    from values import NOW_MS, message, session

    source = PAGE.read_text(encoding="utf-8").split("```python\n", 1)[1].split("```", 1)[0]
    module = ModuleType("night_rest")
    exec(compile(source, str(PAGE), "exec"), vars(module))  # noqa: S102 - the page's own example
    hour_ms = 3_600_000
    midnight = NOW_MS // (24 * hour_ms) * 24 * hour_ms
    at_two = session(now=midnight + 2 * hour_ms)

    assert check(module, "night-rest") == ("on_message",)
    assert module.on_message(message(), at_two) == Verdict.hold("night", midnight + 7 * hour_ms)
    assert module.on_message(message(urgent=True), at_two) is None
    assert module.on_message(message(), session(now=midnight + 9 * hour_ms)) is None


if __name__ == "__main__":
    above = PAGE.read_text(encoding="utf-8").split(f"{MARK}\n", 1)[0]
    PAGE.write_text(f"{above}{MARK}\n{reference()}", encoding="utf-8")
