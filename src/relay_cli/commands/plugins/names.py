"""The names of plugins, for a shell that completes them."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from relay_core.discovery import installed


def plugin_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a plugin."""
    del context, parameter
    return _items((each.name for each in installed()), incomplete)


def plugin_or_distribution_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a plugin, or of a distribution that brings some."""
    del context, parameter
    found = [name for each in installed() for name in (each.name, each.distribution)]
    return _items(found, incomplete)


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(set(names)) if name.startswith(incomplete)]
