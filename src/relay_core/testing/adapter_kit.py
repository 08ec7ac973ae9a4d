"""The conformance kit for adapters: run every check on one agent, and say what it can really do.

    async with open_driver(folder, Options()) as driver:
        report = await check_adapter(driver)
    assert report.ok, report.failed

`agent-relay plugins check NAME` does this for an adapter whose driver is installed. Each check gets
a session and an adapter of its own, and at most `LIMIT_S` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Generator

from relay_core.clock import SystemRandom
from relay_core.errors import RelayError
from relay_core.messages import Struct
from relay_core.ports import Random
from relay_core.testing.adapter_checks import ABILITIES, PROMISES
from relay_core.testing.adapter_crashes import CRASHES
from relay_core.testing.adapter_driver import Driver, DriverFactory, NotMeasured, Options
from relay_core.testing.adapter_report import (
    NOT_CLAIMED,
    NOT_MEASURED,
    RANKS,
    AdapterReport,
    Capability,
    CheckResult,
    Verdict,
    markdown,
    matrix_text,
)
from relay_core.testing.adapter_scene import Scene, Unfit

__all__ = [
    "LIMIT_S",
    "AdapterReport",
    "Capability",
    "CheckResult",
    "DriverFactory",
    "Options",
    "Progress",
    "Verdict",
    "check_adapter",
    "check_names",
    "markdown",
    "matrix_text",
]

LIMIT_S = 120.0
"""How long one check may take; a look that finds nothing may take a minute alone."""

Progress = Callable[[str], None]
_CheckFunction = Callable[[Scene], Awaitable[str | None]]


class _Check(Struct):
    name: str
    line: str
    run: _CheckFunction
    ability: bool


def _check(run: _CheckFunction, *, ability: bool = False) -> _Check:
    name = getattr(run, "__name__", "")
    return _Check(name=name, line=inspect.getdoc(run) or name, run=run, ability=ability)


_CHECKS: tuple[_Check, ...] = (
    *(_check(each, ability=True) for each in ABILITIES),
    *(_check(each) for each in PROMISES),
    *(_check(each) for each in CRASHES),
)


def check_names() -> tuple[str, ...]:
    """Name every check, in the order in which they are made."""
    return tuple(each.name for each in _CHECKS)


async def check_adapter(
    driver: Driver,
    *,
    random: Random | None = None,
    only: Collection[str] | None = None,
    progress: Progress = lambda _: None,
) -> AdapterReport:
    """Make the checks one by one, all or `only` some, and report what was seen.

    `progress` is told the line of each check before it is made.
    """
    chance = random or SystemRandom()
    results: list[CheckResult] = []
    matrix: list[Capability] = []
    wanted = [each for each in _CHECKS if only is None or each.name in only]
    with _quiet():
        for check in wanted:
            progress(check.line)
            result, capability = await _made(check, driver, chance)
            results.append(result)
            if capability is not None:
                matrix.append(capability)
    return AdapterReport(
        adapter=driver.name, agent=driver.agent, checks=tuple(results), matrix=tuple(matrix)
    )


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep what the relay's parts say of faults that are played off the standard error of a
    program that has set up no log."""
    log, silence = logging.getLogger("relay"), logging.NullHandler()
    log.addHandler(silence)
    try:
        yield
    finally:
        log.removeHandler(silence)


async def _made(
    check: _Check, driver: Driver, random: Random
) -> tuple[CheckResult, Capability | None]:
    scene = Scene(driver, random)
    loop = asyncio.get_running_loop()
    began = loop.time()
    capability = None
    verdict, detail = Verdict.OK, ""
    try:
        async with asyncio.timeout(LIMIT_S):
            await scene.open()
            if check.ability:
                capability = await _measured(check, scene)
                verdict, detail = _judged(capability)
            else:
                await check.run(scene)
    except NotMeasured as why:
        verdict, detail = Verdict.NOT_MEASURED, str(why)
    except Unfit as seen:
        verdict, detail = Verdict.FAILED, str(seen)
    except TimeoutError:
        verdict, detail = Verdict.FAILED, f"it took longer than {LIMIT_S:g} s"
    except Exception as error:  # noqa: BLE001 - an adapter under test may raise anything anywhere
        verdict, detail = Verdict.FAILED, _told(error)
    trouble = await _closed(scene)
    if trouble is not None and verdict is not Verdict.FAILED:
        verdict, detail = Verdict.FAILED, trouble
    result = CheckResult(
        name=check.name,
        line=check.line,
        verdict=verdict,
        detail=" ".join(detail.split()),
        seconds=round(loop.time() - began, 2),
    )
    return result, capability


async def _measured(check: _Check, scene: Scene) -> Capability:
    """Measure one ability where it is claimed."""
    claimed = _word(getattr(scene.claims, check.name))
    made = Capability(name=check.name, claimed=claimed, measured=NOT_CLAIMED)
    if claimed == RANKS[check.name][0]:
        return made
    changed, why = NOT_MEASURED, ""
    try:
        changed = _word(await check.run(scene))
    except NotMeasured as error:
        why = str(error)
    except Unfit as seen:
        changed, why = RANKS[check.name][0], str(seen)
    except RelayError as error:
        changed, why = RANKS[check.name][0], _told(error)
    return Capability(name=check.name, claimed=claimed, measured=changed, why=why)


def _judged(capability: Capability) -> tuple[Verdict, str]:
    if capability.measured == NOT_MEASURED:
        return Verdict.NOT_MEASURED, capability.why
    if capability.measured == NOT_CLAIMED:
        return Verdict.OK, "not claimed"
    if capability.kept:
        return Verdict.OK, ""
    said = f"claimed is {capability.claimed}, measured was {capability.measured}"
    return Verdict.FAILED, f"{said}: {capability.why}" if capability.why else said


async def _closed(scene: Scene) -> str | None:
    """End a scene; what goes wrong there is the adapter's, or the driver's, too."""
    try:
        async with asyncio.timeout(LIMIT_S):
            await scene.close()
    except Exception as error:  # noqa: BLE001 - as above
        return f"at its end: {_told(error)}"
    return None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _word(value: object) -> str:
    """Say a capability in one word."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value) if isinstance(value, enum.Enum) else str(value)
