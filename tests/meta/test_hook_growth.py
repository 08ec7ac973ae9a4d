"""Hooks only grow and public names stay: the tables in tests/typing hold what was promised."""

import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from relay_core import RelayDeprecated, hookspecs
from relay_core.deprecations import DEPARTING
from relay_core.hookspecs import HOOK_NAMES

ROOT = Path(__file__).parents[2]
PROMISED_NAMES = ROOT / "tests" / "typing" / "promised_names.toml"
TABLE = ROOT / "tests" / "typing" / "hook_signatures.toml"
PAGE = ROOT / "docs" / "reference" / "hooks.md"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

RELEASE = ".".join(VERSION.split(".")[:2])

Signatures = Mapping[str, Mapping[str, str]]
"""By hook and argument, the release that brought it."""


def recorded() -> Signatures:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def told() -> str:
    """Everything that the changelog says, released or not."""
    files = [ROOT / "CHANGELOG.md", *(ROOT / "changelog.d").glob("*.md")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def arguments() -> Mapping[str, tuple[str, ...]]:
    specs = {hook: getattr(hookspecs, hook) for hook in HOOK_NAMES}
    return {hook: tuple(inspect.signature(spec).parameters) for hook, spec in specs.items()}


def since(hook: str) -> str:
    text = " ".join((inspect.getdoc(getattr(hookspecs, hook)) or "").split())
    found = re.search(r"Since: ([0-9]+\.[0-9]+)\.$", text)
    assert found is not None, f"{hook} does not end with: Since: X.Y."
    return found[1]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".")[:2])


def broken(table: Signatures, code: Mapping[str, tuple[str, ...]], news: str) -> Iterator[str]:
    """What of the promise does not hold, and what to do about it."""
    for hook, promised in table.items():
        if hook not in code:
            yield f"the hook {hook} is gone: put it back, and deprecate it with warn_on_impl first"
            continue
        first = min(map(numbers, promised.values()))
        for argument, version in promised.items():
            if argument not in code[hook]:
                yield (
                    f"{hook} has lost {argument}: put it back, hooks only grow;"
                    " deprecate it with warn_on_impl_args first"
                )
            elif numbers(version) > first and not _is_told(hook, argument, news):
                yield f"{hook} has grown {argument}: name both in a fragment in changelog.d/"
    for hook, found in code.items():
        for argument in found:
            if argument not in table.get(hook, {}):
                yield f'{hook} has {argument}: promise it, write {argument} = "{RELEASE}"'


def _is_told(hook: str, argument: str, news: str) -> bool:
    return any(f"`{hook}`" in line and f"`{argument}`" in line for line in news.splitlines())


def test_hooks_have_every_argument_that_was_promised_and_what_is_new_is_told():
    assert list(broken(recorded(), arguments(), told())) == []


def test_every_hook_says_since_when_and_no_release_is_one_to_come():
    table = recorded()
    written = re.findall(r"Since: ([0-9]+\.[0-9]+)\.$", PAGE.read_text(), flags=re.MULTILINE)

    assert [since(hook) for hook in HOOK_NAMES] == written
    for hook in HOOK_NAMES:
        versions = [since(hook), *table[hook].values()]
        assert min(versions, key=numbers) == since(hook)
        assert max(map(numbers, versions)) <= numbers(VERSION), f"{hook} is of a release to come"


def test_what_a_spec_warns_of_is_of_the_kind_that_the_host_listens_for():
    for hook in HOOK_NAMES:
        marks = getattr(getattr(hookspecs, hook), f"{hookspecs.PROJECT}_spec")
        warned = [marks["warn_on_impl"], *(marks["warn_on_impl_args"] or {}).values()]
        assert {type(each) for each in warned if each is not None} <= {RelayDeprecated}, hook
        assert set(marks["warn_on_impl_args"] or {}) <= set(arguments()[hook]), hook


def test_no_public_name_has_gone_without_a_warning_first():
    table = tomllib.loads(PROMISED_NAMES.read_text(encoding="utf-8"))
    promised = {
        (module, name)
        for module, releases in table.items()
        for names in releases.values()
        for name in names
    }
    there = {(module, name) for module in table for name in importlib.import_module(module).__all__}
    departing = {("relay_core", name) for name in DEPARTING}

    assert sorted(promised - there - departing) == [], "put it back, or into DEPARTING"


# --- the check itself ------------------------------------------------------------------------

PROMISED = {"on_message": {"message": "0.1", "session": "0.1"}}


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ({"on_message": ("message", "session")}, ""),
        ({"on_message": ("session", "message")}, ""),
        ({"on_message": ("message", "seat")}, "on_message has lost session: put it back"),
        ({}, "the hook on_message is gone: put it back"),
        ({"on_message": ("message", "session", "weather")}, "on_message has weather: promise it"),
    ],
)
def test_a_hook_that_lost_an_argument_or_grew_unseen_is_found(code, wrong: str):
    found = list(broken(PROMISED, code, ""))

    assert wrong in "\n".join(found)
    assert bool(found) == bool(wrong)


@pytest.mark.parametrize(
    ("news", "is_told"),
    [("`on_message` may take `weather`.", True), ("`on_message`\n`weather`", False), ("", False)],
)
def test_an_argument_that_came_later_is_named_in_the_changelog(news: str, is_told: bool):  # noqa: FBT001
    grown = {"on_message": {**PROMISED["on_message"], "weather": "0.2"}}
    code = {"on_message": ("message", "session", "weather")}

    assert (list(broken(grown, code, news)) == []) is is_told
