"""Everything that can be checked of what is installed under one name: a plugin, an adapter."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay_core.discovery import installed
from relay_core.messages import Struct
from relay_core.sessions import Environment
from relay_core.testing.adapter_driver import Options, driver_factory, installed_drivers
from relay_core.testing.adapter_kit import Progress, check_adapter
from relay_core.testing.adapter_report import AdapterReport
from relay_core.testing.plugin_check import PluginCheck, check_plugin


class Checked(Struct):
    """What was seen: of a plugin, and of each adapter that it brings.

    `plugin` is None where the name is an adapter's. `undriven` are adapters that could not be
    measured, because no driver is installed for them.
    """

    ok: bool
    plugin: PluginCheck | None
    adapters: tuple[AdapterReport, ...]
    undriven: tuple[str, ...] = ()


def known_names() -> tuple[str, ...]:
    """Name all that can be checked here, without importing any of it."""
    return tuple(sorted({each.name for each in installed()} | set(installed_drivers())))


async def check_installed(
    name: str, *, folder: Path, environ: Environment, options: Options, progress: Progress
) -> Checked:
    """Check a plugin, with the adapters that it brings, or an adapter that has a driver.

    `folder` is an empty one whose path leaves room for unix sockets. An AdapterError is the
    driver's: its agent is not there, or did not start.
    """
    progress(f"loading {name}")
    plugin = await check_plugin(name, installed(), folder=folder / "p", environ=environ)
    adapters = plugin.adapters if plugin is not None else (name,)
    reports: list[AdapterReport] = []
    for number, adapter in enumerate(adapters):
        report = await _driven(adapter, folder / str(number), options, progress)
        if report is not None:
            reports.append(report)
    driven = {report.adapter for report in reports}
    return Checked(
        ok=(plugin is None or plugin.ok) and all(report.ok for report in reports),
        plugin=plugin,
        adapters=tuple(reports),
        undriven=tuple(each for each in adapters if each not in driven),
    )


async def _driven(
    adapter: str, folder: Path, options: Options, progress: Progress
) -> AdapterReport | None:
    """Put an adapter through the kit; None where it has no driver."""
    factory = driver_factory(adapter)
    if factory is None:
        return None
    await asyncio.to_thread(folder.mkdir)
    async with factory(folder, options) as driver:
        return await check_adapter(driver, progress=lambda line: progress(f"{adapter}: {line}"))
