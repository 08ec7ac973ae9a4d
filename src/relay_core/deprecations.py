"""What goes in a later release: served as before, with a warning that says what to use instead."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO


class RelayDeprecated(DeprecationWarning):
    """Something of Agent Relay that still works, and goes in a release that the text names."""


class Departing(NamedTuple):
    """A public name that goes: where it is meanwhile, what to use instead, and its last days."""

    module: str
    name: str
    instead: str
    since: str
    gone_in: str


DEPARTING: dict[str, Departing] = {}
"""By the name that plugins import from `relay_core`; take it out of `relay_core.__all__`."""


def departing(name: str) -> object:
    """Give what a name that goes still stands for, with a warning where it is asked for.

    Raises AttributeError, as a module does, for a name that is none of them.
    """
    known = DEPARTING.get(name)
    if known is None:
        raise AttributeError(f"module 'relay_core' has no attribute {name!r}")
    warnings.warn(
        f"relay_core.{name} is deprecated since {known.since} and goes in {known.gone_in}:"
        f" use {known.instead}",
        RelayDeprecated,
        stacklevel=3,  # past this and the module's __getattr__: whoever imports it
    )
    return getattr(importlib.import_module(known.module), known.name)


@contextmanager
def heard() -> Generator[list[str]]:
    """Collect what is deprecated in the block, one line each with its place, and warn nobody.

    Whatever filters are set: a warning that was turned into an error must not keep a plugin out.
    Other warnings go where they go.
    """
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", RelayDeprecated)
        pass_on = warnings.showwarning

        def listen(  # noqa: PLR0917 - the shape of warnings.showwarning
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, RelayDeprecated):
                notes.append(f"{message} ({Path(filename).name}:{lineno})")
            else:
                pass_on(message, category, filename, lineno, file, line)

        warnings.showwarning = listen
        yield notes
