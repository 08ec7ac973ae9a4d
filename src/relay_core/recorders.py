"""Plugins as the hooks call them: each implementation of a decision runs inside a recorder."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator, Iterable
from typing import cast

import pluggy

from relay_core.answers import Chain, Round, current_round
from relay_core.deprecations import heard
from relay_core.discovery import new_manager
from relay_core.hookspecs import DECISION_HOOKS, HOOK_NAMES, PROJECT


class _Recorded:
    """A plugin whose decisions pass through a recorder."""

    def __init__(self, implementations: Iterable[tuple[str, pluggy.HookImpl]]) -> None:
        marker = pluggy.HookimplMarker(PROJECT)
        for hook, each in implementations:
            if hook not in DECISION_HOOKS:
                setattr(self, hook, each.function)  # marked already, and perhaps a bound method
                continue
            mark = marker(
                wrapper=each.wrapper,
                tryfirst=each.tryfirst,
                trylast=each.trylast,
                specname=hook,
            )
            setattr(self, hook, mark(_recorded(each)))


def with_recorders(manager: pluggy.PluginManager) -> pluggy.PluginManager:
    """Give a manager with the same plugins in the same order, each decision recorded."""
    copy = new_manager()
    for name, plugin in manager.list_name_plugin():
        callers = manager.get_hookcallers(plugin) if plugin is not None else None
        own = [
            (caller.name, each)
            for caller in callers or ()
            for each in caller.get_hookimpls()
            if each.plugin is plugin and caller.name in HOOK_NAMES
        ]
        if own:
            with heard():  # discovery has told of them already
                copy.register(_Recorded(own), name)
    return copy


def plain_chain(
    manager: pluggy.PluginManager, hook: str, left_out: frozenset[str] = frozenset()
) -> Chain | None:
    """The implementations of a hook as plain calls, for a manager that records nothing.

    None where a wrapper is among them: those need pluggy's machinery.
    """
    caller = caller_of(manager, hook)
    asked = [each for each in reversed(caller.get_hookimpls()) if each.plugin_name not in left_out]
    if any(each.wrapper or each.hookwrapper for each in asked):
        return None
    names = caller.spec.argnames if caller.spec else ()
    return tuple((each.plugin_name, _positional(each, names)) for each in asked)


def caller_of(manager: pluggy.PluginManager, hook: str) -> pluggy.HookCaller:
    return cast("pluggy.HookCaller", getattr(manager.hook, hook))


def _positional(implementation: pluggy.HookImpl, names: tuple[str, ...]) -> Callable[..., object]:
    """Let an implementation be called with all arguments of its hook, in their order."""
    function = implementation.function
    if tuple(implementation.argnames) == names:
        return function
    places = [names.index(name) for name in implementation.argnames]

    def picking(*arguments: object) -> object:
        return function(*[arguments[place] for place in places])

    return picking


def _recorded(implementation: pluggy.HookImpl) -> Callable[..., object]:
    """Wrap one implementation of a decision hook so that the current round sees what it does."""
    if implementation.wrapper:
        return _recorded_wrapper(implementation)
    plugin = implementation.plugin_name
    function = implementation.function

    @functools.wraps(function)
    def recorder(*arguments: object) -> object:
        return current_round.get().ask(plugin, function, arguments)

    return recorder


def _recorded_wrapper(implementation: pluggy.HookImpl) -> Callable[..., object]:
    plugin = implementation.plugin_name
    function = cast("Callable[..., Generator[None, object, object]]", implementation.function)

    @functools.wraps(function)
    def recorder(*arguments: object) -> Generator[None, object, object]:
        now = current_round.get()
        wrapper = function(*arguments)
        _step(now, plugin, lambda: next(wrapper), first=True)
        received: object = None
        try:
            received = yield
        except Exception as error:  # noqa: BLE001 - an inner one's; the wrapper may mend it
            inner = error
            answer = _step(now, plugin, lambda: wrapper.throw(inner))
        else:
            answer = _step(now, plugin, lambda: wrapper.send(received))
        finally:
            wrapper.close()
        return now.wrap(plugin, received, answer)

    return recorder


def _step(now: Round, plugin: str, advance: Callable[[], None], *, first: bool = False) -> object:
    """Let a wrapper run up to its yield, or from there to its end."""
    now.enter(plugin)
    try:
        advance()
    except StopIteration as end:
        if first:
            raise now.blame(plugin, RuntimeError("a wrapper must yield once")) from end
        now.leave(plugin)
        return cast("object", end.value)
    except (SystemExit, asyncio.CancelledError) as error:
        raise now.blame(plugin, RuntimeError(f"it raised {type(error).__name__}")) from error
    except Exception as error:
        now.blame(plugin, error)
        raise
    now.leave(plugin)
    if not first:
        raise now.blame(plugin, RuntimeError("a wrapper must yield once"))
    return None
