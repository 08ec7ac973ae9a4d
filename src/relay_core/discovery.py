"""From installed distributions to plugins: ordered, allowed, named, checked and reported."""

# Rule 1: what is blocked or not allowed is decided by name and distribution, before its import.
# Rule 2: the order comes from the settings, then from the names; never from the order of install.
# Rule 3: a plugin is checked on a manager of its own; what the host gets is built of the good ones.

from __future__ import annotations

import difflib
import enum
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from typing import cast

import msgspec
import pluggy

from relay_core import hookspecs
from relay_core.deprecations import heard
from relay_core.errors import PluginConflict, PluginError
from relay_core.hookspecs import DECISION_HOOKS, HOOK_NAMES, PROJECT
from relay_core.messages import Struct

GROUP = "agent_relay"
DISTRIBUTION = "agent-relay-codex"
BUILT_IN_PREFIX = "relay."

_AT_LEAST = re.compile(r"([\w.-]+)[^>;]*>=\s*([0-9]+(?:\.[0-9]+)*)")
"""A requirement with the lowest release that it allows."""


class PluginState(enum.StrEnum):
    """What became of an installed plugin."""

    LOADED = "loaded"
    BLOCKED = "blocked"
    FAILED = "failed"
    SET_ASIDE = "set-aside"


class PluginReport(Struct):
    """One installed plugin, for `agent-relay plugins`.

    `reason` says why it is not loaded, or what it last did wrong. `hooks` are the ones that it
    implements, in the order of the specs. `notes` say what it uses that goes in a later release.
    `place` is its place in the order of asking, from 1, where it is loaded.
    """

    name: str
    distribution: str
    version: str
    state: PluginState
    reason: str | None = None
    hooks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    place: int | None = None


class Mark(enum.StrEnum):
    """Why a plugin's function is asked out of its turn."""

    WRAPPER = "wrapper"
    FIRST = "tryfirst"
    LAST = "trylast"


class AskedPlugin(Struct):
    """A plugin that is asked in a hook; wrappers come first, and stand round the others."""

    plugin: str
    mark: Mark | None = None


def _nothing() -> tuple[str, ...]:
    return ()


class Candidate(msgspec.Struct, frozen=True):
    """An entry point that was found: nothing of it is imported before `load` is called.

    `requires` reads what its distribution needs, as its metadata have it.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    requires: Callable[[], Sequence[str]] = _nothing


class Plugins(msgspec.Struct, frozen=True):
    """What was loaded, ready to be asked, and a report on everything that is installed.

    `unmatched` are names in `plugins.block`, `only` or `order` that nothing installed answers to.
    """

    manager: pluggy.PluginManager
    reports: tuple[PluginReport, ...]
    unmatched: tuple[str, ...] = ()


def installed() -> tuple[Candidate, ...]:
    """List the entry points of the group `agent_relay` without importing any."""
    return tuple(
        Candidate(
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "",
            load=point.load,
            requires=functools.partial(_requirements, point.dist),
        )
        for point in metadata.entry_points(group=GROUP)
    )


def discover(
    candidates: Iterable[Candidate],
    *,
    block: Sequence[str] = (),
    order: Sequence[str] = (),
    only: Sequence[str] | None = None,
    strict: bool = False,
) -> Plugins:
    """Load what may be loaded.

    Names in `block`, `order` and `only` are those of plugins or of distributions; `only` loads
    nothing else, built-in plugins included. A plugin that cannot be imported or registered is
    reported as failed and the rest go on; with `strict` it raises PluginError. Two plugins of one
    name raise PluginConflict: nobody can know which one was meant.
    """
    found = tuple(candidates)
    reasons = {each: _kept_out(each, block, only) for each in map(_key, found)}
    allowed = [each for each in found if reasons[_key(each)] is None]
    _refuse_conflicts(allowed)
    reports = [
        _report(each, PluginState.BLOCKED, reason)
        for each in found
        if (reason := reasons[_key(each)]) is not None
    ]
    manager = new_manager()
    for each in _in_order_of_registration(allowed, order):
        report = _admit(manager, each, strict=strict)
        reports.append(report)
    reports = _placed(reports)
    reports.sort(key=lambda report: (report.name, report.distribution))
    asked_for = (*block, *order, *(only or ()))
    return Plugins(manager, tuple(reports), unmatched(found, asked_for))


def asked_in_order(manager: pluggy.PluginManager) -> dict[str, tuple[AskedPlugin, ...]]:
    """Tell for each hook that somebody answers who is asked, in the order of asking."""
    callers = {hook: cast("pluggy.HookCaller", getattr(manager.hook, hook)) for hook in HOOK_NAMES}
    asked = {
        hook: tuple(
            AskedPlugin(plugin=each.plugin_name, mark=_mark(each))
            for each in reversed(caller.get_hookimpls())
        )
        for hook, caller in callers.items()
    }
    return {hook: found for hook, found in asked.items() if found}


def unmatched(candidates: Iterable[Candidate], names: Iterable[str]) -> tuple[str, ...]:
    """List the names that no installed plugin or distribution answers to, without an import."""
    known = {label for each in candidates for label in _labels(each)}
    return tuple(dict.fromkeys(name for name in names if not known & _written(name)))


def new_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def check(
    plugin: object, name: str, *, requires: Callable[[], Sequence[str]] = _nothing
) -> tuple[str, ...]:
    """Name the hooks that a plugin implements, in the order of the specs.

    PluginError where it could not be asked properly: a hook that does not exist, an argument that a
    hook does not have or that has a default, a coroutine where a decision is due. `requires` reads
    what its distribution needs; a release of the relay that is newer than this one is then named.
    """
    if plugin is None or inspect.isclass(plugin):
        raise PluginError(name, "its entry point names no module and no instance")
    bare = pluggy.PluginManager(PROJECT)  # knows no hook, so it refuses nothing
    bare.register(plugin, name)
    trial = new_manager()
    for caller in bare.get_hookcallers(plugin) or ():
        implementations = caller.get_hookimpls()
        arguments = _arguments(trial, caller.name)
        if arguments is None:
            if not all(implementation.optionalhook for implementation in implementations):
                _refuse_unknown(name, caller.name, requires)
            continue
        for implementation in implementations:
            _refuse_unaskable(name, caller.name, implementation, arguments, requires)
    try:
        with heard():
            trial.register(plugin, name)
    except pluggy.PluginValidationError as error:
        raise PluginError(name, _one_line(error)) from error
    hooks = {caller.name for caller in trial.get_hookcallers(plugin) or ()}
    known = tuple(hook for hook in HOOK_NAMES if hook in hooks)
    if not known:
        raise PluginError(name, "implements no hook", fix=_unmarked(plugin))
    return known


# --- who may load ----------------------------------------------------------------------------


def _key(each: Candidate) -> tuple[str, str]:
    return each.name, each.distribution


def _kept_out(key: tuple[str, str], block: Sequence[str], only: Sequence[str] | None) -> str | None:
    labels = set(key) | {_normal(key[1])}
    if any(labels & _written(name) for name in block):
        return "in plugins.block"
    if only is not None and not any(labels & _written(name) for name in only):
        return "not in plugins.only"
    return None


def _labels(each: Candidate) -> frozenset[str]:
    return frozenset({each.name, _normal(each.distribution)})


def _written(name: str) -> frozenset[str]:
    return frozenset({name, _normal(name)})


def _normal(distribution: str) -> str:
    """A distribution's name in the one spelling that all its spellings share."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _built_in(each: Candidate) -> bool:
    return _normal(each.distribution) == DISTRIBUTION


def _in_order_of_registration(
    candidates: Iterable[Candidate], order: Sequence[str]
) -> list[Candidate]:
    """Put third parties first, the one that is asked first last of them, then the built-in ones.

    pluggy asks the plugin that was registered last first; but of those that are `trylast`, as every
    built-in one is, it asks that one last.
    """

    def precedence(each: Candidate) -> tuple[int, str]:
        labels = _labels(each)
        places = [place for place, name in enumerate(order) if labels & _written(name)]
        return min(places, default=len(order)), each.name

    ranked = sorted(candidates, key=precedence)
    theirs = [each for each in ranked if not _built_in(each)]
    return [*reversed(theirs), *(each for each in ranked if _built_in(each))]


def _placed(reports: Iterable[PluginReport]) -> list[PluginReport]:
    """Number the loaded ones in the order of asking; they come in the order of registration."""
    listed = list(reports)
    loaded = [each for each in listed if each.state is PluginState.LOADED]
    theirs = [each for each in loaded if _normal(each.distribution) != DISTRIBUTION]
    ours = [each for each in loaded if _normal(each.distribution) == DISTRIBUTION]
    places = {id(each): place for place, each in enumerate((*reversed(theirs), *ours), start=1)}
    return [msgspec.structs.replace(each, place=places.get(id(each))) for each in listed]


def _mark(implementation: pluggy.HookImpl) -> Mark | None:
    if implementation.wrapper:
        return Mark.WRAPPER
    if implementation.tryfirst:
        return Mark.FIRST
    return Mark.LAST if implementation.trylast else None


def _refuse_conflicts(candidates: Sequence[Candidate]) -> None:
    owners: dict[str, Candidate] = {}
    for each in candidates:
        other = owners.setdefault(each.name, each)
        if other is not each:
            first, second = sorted((other.distribution, each.distribution))
            raise PluginConflict(
                each.name,
                f"both {first} and {second} bring a plugin of this name",
                fix=f"uninstall one, or put {second} into plugins.block",
            )


# --- loading one -----------------------------------------------------------------------------


def _admit(manager: pluggy.PluginManager, each: Candidate, *, strict: bool) -> PluginReport:
    try:
        if each.name.startswith(BUILT_IN_PREFIX) and not _built_in(each):
            raise PluginError(each.name, f"{each.distribution} may not use a name of relay.*")
        with heard() as notes:
            plugin = _imported(each)
            hooks = check(plugin, each.name, requires=each.requires)
            if manager.is_registered(plugin):
                raise PluginError(each.name, "another entry point names the same object")
            manager.register(plugin, each.name)
    except PluginError as error:
        if strict:
            raise
        detail = error.detail if error.fix is None else f"{error.detail} ({error.fix})"
        reason = detail.removeprefix(f"plugin {each.name}: ")
        return _report(each, PluginState.FAILED, reason)
    loaded = _report(each, PluginState.LOADED, None, hooks)
    return msgspec.structs.replace(loaded, notes=tuple(dict.fromkeys(notes)))


def _imported(each: Candidate) -> object:
    try:
        return each.load()
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a stranger's module does when it is imported
        detail = f"{type(error).__name__}: {_one_line(error)}"
        raise PluginError(each.name, f"{each.distribution} cannot be imported: {detail}") from error


def _report(
    each: Candidate, state: PluginState, reason: str | None, hooks: tuple[str, ...] = ()
) -> PluginReport:
    return PluginReport(
        name=each.name,
        distribution=each.distribution,
        version=each.version,
        state=state,
        reason=reason,
        hooks=hooks,
    )


# --- checking one ----------------------------------------------------------------------------


def _arguments(trial: pluggy.PluginManager, hook: str) -> tuple[str, ...] | None:
    """What a hook is asked with; None where there is none of this name."""
    caller = cast("pluggy.HookCaller | None", getattr(trial.hook, hook, None))
    return None if caller is None or caller.spec is None else tuple(caller.spec.argnames)


def _refuse_unknown(name: str, hook: str, requires: Callable[[], Sequence[str]]) -> None:
    detail = f"there is no hook {hook}"
    raise PluginError(name, detail, fix=_mended(hook, HOOK_NAMES, requires()))


def _refuse_unaskable(
    name: str,
    hook: str,
    implementation: pluggy.HookImpl,
    arguments: Sequence[str],
    requires: Callable[[], Sequence[str]],
) -> None:
    function: object = implementation.function
    if never := sorted(set(implementation.kwargnames) & set(arguments)):
        raise PluginError(name, f"{hook}: {never[0]} has a default, so it would never be passed")
    asked = (*implementation.argnames, *implementation.kwargnames)
    if unknown := [each for each in asked if each not in arguments]:
        detail = f"{hook} has no argument {unknown[0]}"
        raise PluginError(name, detail, fix=_mended(unknown[0], arguments, requires()))
    if inspect.isasyncgenfunction(function):
        raise PluginError(
            name, f"{hook} is an async generator", fix="put @asynccontextmanager below @hookimpl"
        )
    if inspect.iscoroutinefunction(function) and hook != "on_event":
        raise PluginError(name, f"{hook} must be a plain function, not a coroutine")
    if implementation.hookwrapper:
        raise PluginError(name, f"{hook}: write wrapper=True, not hookwrapper=True")
    if implementation.wrapper and hook not in DECISION_HOOKS:
        raise PluginError(name, f"{hook} cannot be wrapped: every plugin is called by itself")


def _mended(wrong: str, known: Sequence[str], required: Sequence[str]) -> str:
    """Say what to do about a name that this release does not know: it may be of a newer one."""
    here = metadata.version(DISTRIBUTION)
    for each in required:
        found = _AT_LEAST.match(each)
        ours = found is not None and _normal(found[1]) == DISTRIBUTION
        if found is not None and ours and _numbers(found[2]) > _numbers(here):
            return f"it requires {DISTRIBUTION}>={found[2]}, this is {here}: upgrade the relay"
    if near := difflib.get_close_matches(wrong, known, n=1):
        return f"did you mean {near[0]}?"
    newer = f"if it is for a newer relay than {here}, its package requires {DISTRIBUTION}>=X"
    return f"there are {', '.join(known)}; {newer}"


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9.]*", version)
    numbers = [int(each) for each in release[0].split(".") if each] if release else []
    return (*numbers, 0, 0, 0)[:3]


def _requirements(distribution: metadata.Distribution | None) -> tuple[str, ...]:
    return tuple((distribution.requires if distribution is not None else None) or ())


def _unmarked(plugin: object) -> str | None:
    plain = [hook for hook in HOOK_NAMES if callable(getattr(plugin, hook, None))]
    return f"put @hookimpl before {plain[0]}" if plain else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"
