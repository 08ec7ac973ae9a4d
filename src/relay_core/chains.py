"""The plugins of each hook in the order of asking, taken from pluggy once and called without it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import cast

import msgspec
import pluggy

Link = tuple[str, Callable[..., object]]
"""A plugin, and a function that takes all arguments of the hook in their order."""


class Call(msgspec.Struct, frozen=True):
    """One implementation of a hook; `function` takes all arguments of the hook in their order."""

    plugin: str
    function: Callable[..., object]
    wrapper: bool
    coroutine: bool


class Chain(msgspec.Struct, frozen=True):
    """Who is asked in one decision, each in the order of asking; wrappers stand round the others,
    the first outermost."""

    wrappers: tuple[Link, ...]
    plain: tuple[Link, ...]

    @classmethod
    def of(cls, calls: Iterable[Call], left_out: frozenset[str] = frozenset()) -> Chain:
        """Link these calls, without those of some plugins."""
        asked = [each for each in calls if each.plugin not in left_out]
        return cls(
            wrappers=tuple((each.plugin, each.function) for each in asked if each.wrapper),
            plain=tuple((each.plugin, each.function) for each in asked if not each.wrapper),
        )


def calls_of(manager: pluggy.PluginManager, hook: str) -> tuple[Call, ...]:
    """The implementations of a hook that are registered now, the one asked first in front."""
    caller = cast("pluggy.HookCaller", getattr(manager.hook, hook))
    names = caller.spec.argnames if caller.spec else ()
    return tuple(
        Call(
            plugin=each.plugin_name,
            function=_positional(each.function, tuple(each.argnames), tuple(names)),
            wrapper=each.wrapper,
            coroutine=inspect.iscoroutinefunction(each.function),
        )
        for each in reversed(caller.get_hookimpls())
    )


def _positional(
    function: Callable[..., object], wanted: tuple[str, ...], names: tuple[str, ...]
) -> Callable[..., object]:
    """Let a function that wants some of a hook's arguments be called with all of them."""
    if wanted == names:
        return function
    places = [names.index(name) for name in wanted]

    def picking(*arguments: object) -> object:
        return function(*[arguments[place] for place in places])

    return picking
