"""`[plugins]` of config.toml changed by a command: the user's comments and layout stay."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, MutableMapping, MutableSequence
from typing import cast

import msgspec

from relay_core.settings import PluginSettings

TABLE = "plugins"
KEYS = ("block", "only", "order")


def with_blocked(chosen: PluginSettings, names: tuple[str, ...]) -> PluginSettings:
    """Block these as well."""
    block = tuple(dict.fromkeys((*chosen.block, *names)))
    return msgspec.structs.replace(chosen, block=block)


def without_blocked(chosen: PluginSettings, names: tuple[str, ...]) -> PluginSettings:
    """Let these in again."""
    block = tuple(name for name in chosen.block if name not in names)
    return msgspec.structs.replace(chosen, block=block)


def written(text: str, before: PluginSettings, after: PluginSettings) -> str:
    """Write what has changed into the text of a config.toml that was read as `before`."""
    changed = [key for key in KEYS if getattr(before, key) != getattr(after, key)]
    fresh = _edited(text, changed, before, after, in_place=True)
    if _reads_as(fresh, after):
        return fresh
    # An item put behind the last line's comment would become a part of it.
    return _edited(text, changed, before, after, in_place=False)


def _edited(
    text: str,
    changed: Iterable[str],
    before: PluginSettings,
    after: PluginSettings,
    *,
    in_place: bool,
) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    tree = cast("MutableMapping[str, object]", document)
    table = cast("MutableMapping[str, object]", tree.setdefault(TABLE, tomlkit.table()))
    for key in changed:
        new = cast("tuple[str, ...]", getattr(after, key) or ())
        if not new:
            table.pop(key, None)
        elif in_place and key in table:
            _adjust(cast("MutableSequence[str]", table[key]), getattr(before, key), new)
        else:
            table[key] = list(new)
    if not table:
        del tree[TABLE]
    return tomlkit.dumps(document)


def _adjust(array: MutableSequence[str], old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Change an array item by item: what stands beside the others in it stays."""
    for name in old:
        if name not in new:
            array.remove(name)
    for name in new:
        if name not in old:
            array.append(name)


def _reads_as(text: str, wanted: PluginSettings) -> bool:
    try:
        table = tomllib.loads(text).get(TABLE, {})
        return msgspec.convert(table, PluginSettings) == wanted
    except (tomllib.TOMLDecodeError, msgspec.ValidationError):
        return False
