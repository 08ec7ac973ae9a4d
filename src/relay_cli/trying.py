"""The plugins that config.toml lets load, and others that are tried out beside them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import cast

from relay_cli.problems import Failed, Usage
from relay_core.discovery import Candidate, Plugins, PluginState, allowed, answering, discover
from relay_core.settings import PluginSettings

NOT_INSTALLED = "not installed"


def loaded(
    candidates: Sequence[Candidate],
    chosen: PluginSettings,
    *,
    beside: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Plugins:
    """Load the plugins as the settings say, with these beside them and without those.

    What stands beside is an installed plugin that the settings keep out, a file `PATH.py`, or
    `MODULE:ATTRIBUTE`; of an installed plugin of its name it takes the place. Failed where it
    cannot be loaded.
    """
    tried = [each for name in beside for each in _tried(candidates, name)]
    names = {each.name for each in tried}
    left = [
        each
        for each in allowed(candidates, block=chosen.block, only=chosen.only)
        if each.name not in names
    ]
    for name in without:
        gone = {each.name for each in _installed(left, name)}
        left = [each for each in left if each.name not in gone]
    found = discover([*left, *tried], order=chosen.order)
    for report in found.reports:
        if report.name in names and report.state is not PluginState.LOADED:
            raise Failed(f"plugin {report.name} cannot be tried: {report.reason}")
    return found


def _tried(candidates: Sequence[Candidate], name: str) -> tuple[Candidate, ...]:
    if found := answering(candidates, name):
        return found
    path, _, attribute = name.partition(".py:")
    if name.endswith(".py") or attribute:
        return (_of_file(Path(path if name.endswith(".py") else f"{path}.py"), attribute),)
    module, colon, attribute = name.partition(":")
    if colon:
        return (_of_module(module, attribute),)
    return _installed(candidates, name)


def _installed(candidates: Sequence[Candidate], name: str) -> tuple[Candidate, ...]:
    if found := answering(candidates, name):
        return found
    known = sorted({label for each in candidates for label in (each.name, each.distribution)})
    close = get_close_matches(name, known, n=1)
    told = f"did you mean {close[0]}?" if close else "`agent-relay plugins` lists what is installed"
    raise Failed(f"no plugin {name!r} is loaded or installed", fix=told)


def _of_file(path: Path, attribute: str) -> Candidate:
    if not path.is_file():
        raise Usage(f"there is no file {path}", fix="name a plugin, PATH.py or MODULE:ATTRIBUTE")

    def load() -> object:
        # As for a script: what stands beside it can be imported.
        _look_first_in(path.parent)
        name = f"tried_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return _attribute(module, attribute)

    return _candidate(path.stem, load)


def _of_module(name: str, attribute: str) -> Candidate:
    def load() -> object:
        _look_first_in(Path.cwd())
        return _attribute(importlib.import_module(name), attribute)

    return _candidate(name.rpartition(".")[2], load)


def _candidate(stem: str, load: Callable[[], object]) -> Candidate:
    name = stem.replace("_", "-")
    return Candidate(name=name, distribution=NOT_INSTALLED, version="", load=load)


def _attribute(module: ModuleType, attribute: str) -> object:
    found: object = module
    for name in filter(None, attribute.split(".")):
        found = cast("object", getattr(found, name))
    return found


def _look_first_in(folder: Path) -> None:
    place = os.fspath(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
