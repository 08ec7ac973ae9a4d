"""`[plugins]` of config.toml, edited in place: the user's comments and layout stay."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from relay_cli.connection import Here
from relay_cli.problems import Failed
from relay_core.discovery import (
    Candidate,
    PluginReport,
    PluginState,
    answering,
    discover,
    unmatched,
)
from relay_core.errors import PluginConflict, RelayError, SettingsError
from relay_core.messages import Struct
from relay_core.settings import PluginSettings, parse
from relay_core.user_files import make_private_folder, read_user_file, replace_user_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Table

BLOCK, ONLY, ORDER = "block", "only", "order"
TABLE = "plugins"

NEEDED = {
    "choose_delivery": "nothing is delivered",
    "format_prompt": "nothing is delivered",
    "format_context": "no session is told of the relay when it starts",
    "register_adapters": "no session is reached",
}
"""What somebody must answer, and what comes of it where nobody does."""


class Edit(Struct):
    """One key of `[plugins]` and what it becomes; None where it is to go."""

    key: str
    names: tuple[str, ...] | None


def origin_of(here: Here, key: str) -> str | None:
    """Where a key of `[plugins]` is set, as FILE:LINE; None where it is not."""
    origin = next(one.origin for one in here.settings.origins if one.key == f"{TABLE}.{key}")
    return None if origin == "default" else origin


def write(here: Here, edit: Edit) -> PluginSettings:
    """Change one key in config.toml, in one step; gives what counts from now on.

    SettingsError where the file cannot be written, Failed where it is written in a way that cannot
    be changed without a person.
    """
    file = here.places.config_file
    before = read_user_file(file) or ""
    wanted = _edited(before, edit)
    try:
        found = parse(os.environ, wanted, file=file).plugins
    except SettingsError as error:
        raise _by_hand(here, edit) from error
    if getattr(found, edit.key) != (edit.names if edit.names or edit.key == ONLY else ()):
        raise _by_hand(here, edit)
    try:
        # Of a link, what it points to: a user's config.toml may live elsewhere.
        target = file.resolve()
        make_private_folder(target.parent)
        if (read_user_file(file) or "") != before:
            raise SettingsError("was changed meanwhile", file=file, fix="try again")
        replace_user_file(target, wanted.encode())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"cannot be written: {why}", file=file) from error
    return found


def known_names(
    candidates: Sequence[Candidate], names: Iterable[str], *, force: bool
) -> tuple[str, ...]:
    """Check that something installed answers to each name, given once; Failed otherwise."""
    wanted = tuple(dict.fromkeys(names))
    unknown = unmatched(candidates, wanted)
    if unknown and not force:
        known = sorted({label for each in candidates for label in (each.name, each.distribution)})
        close = get_close_matches(unknown[0], known, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise Failed(
            f"no installed plugin or distribution is called {unknown[0]!r}",
            fix=f"{meant}`--force` sets it for one that you install later",
        )
    return wanted


def without(names: Sequence[str], gone: str, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Take a name out of a list, in whichever spelling it stands there; Failed if it does not."""
    meant = {each.name for each in answering(candidates, gone)}
    left = tuple(
        name
        for name in names
        if name != gone
        and not (meant and meant == {each.name for each in answering(candidates, name)})
    )
    if left == tuple(names):
        listed = ", ".join(names) or "nothing"
        raise Failed(f"{gone!r} is not in the list", fix=f"there is: {listed}")
    return left


def warnings(candidates: Sequence[Candidate], chosen: PluginSettings) -> tuple[str, ...]:
    """Tell what the relay could not do with these settings; loads the plugins that they allow."""
    try:
        found = discover(candidates, block=chosen.block, order=chosen.order, only=chosen.only)
    except PluginConflict as conflict:
        return (f"the host will not start: {conflict}",)
    return _missing(found.reports)


def _missing(reports: Sequence[PluginReport]) -> tuple[str, ...]:
    hooks = {hook for each in reports if each.state is PluginState.LOADED for hook in each.hooks}
    gone = {told: hook for hook, told in NEEDED.items() if hook not in hooks}
    return tuple(f"no plugin answers {hook} any more: {told}" for told, hook in gone.items())


# --- the text --------------------------------------------------------------------------------


def _edited(text: str, edit: Edit) -> str:
    # Only the commands that write config.toml need it.
    import tomlkit

    windows = text.count("\r\n") == text.count("\n") > 0
    plain = text.replace("\r\n", "\n") if windows else text
    document = tomlkit.parse(plain if plain.endswith("\n") or not plain else f"{plain}\n")
    if TABLE not in document:
        if edit.names is None:
            return text
        if plain and not plain.endswith("\n\n"):
            document.add(tomlkit.nl())
        document.add(TABLE, tomlkit.table())
    table = cast("Table", document[TABLE])
    if edit.names is None:
        _take_out(document, table, edit.key)
    elif edit.key not in table:
        table.add(edit.key, list(edit.names))
    else:
        _fill(cast("list[str]", table[edit.key]), edit.names)
    edited = tomlkit.dumps(document)
    return edited.replace("\n", "\r\n") if windows else edited


def _take_out(document: TOMLDocument, table: Table, key: str) -> None:
    if key in table:
        table.remove(key)
    if not table.as_string().strip():
        document.remove(TABLE)


def _fill(array: list[str], names: Sequence[str]) -> None:
    """Make an array hold these names; those that stay keep their lines and comments."""
    if [each for each in array if each in names] != [each for each in names if each in array]:
        array.clear()  # another order: their lines cannot stay
    for each in [each for each in array if each not in names]:
        array.remove(each)
    for place, name in enumerate(names):
        if name not in array:
            array.insert(place, name)


def _by_hand(here: Here, edit: Edit) -> RelayError:
    shown = "no list" if edit.names is None else str(list(edit.names))
    return Failed(
        f"{here.places.config_file} is written in a way that cannot be changed here",
        fix=f"set {edit.key} in [plugins] to {shown} by hand",
    )
