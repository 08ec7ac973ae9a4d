"""From what a test names to plugins that can be loaded."""

from __future__ import annotations

from relay_core.discovery import DISTRIBUTION, Candidate, check, installed


class HarnessError(AssertionError):
    """The test asks for something that cannot be, or a plugin under test did something wrong."""


def candidates(plugin: object, name: str | None = None) -> list[Candidate]:
    """Find an installed plugin by its name, or take a module or an instance as one.

    An object's plugin name is `name`, else what it calls itself. HarnessError when nothing of that
    name is installed.
    """
    if isinstance(plugin, str):
        return _installed(plugin)
    own = name or str(getattr(plugin, "__name__", type(plugin).__name__)).replace("_", "-")
    return [Candidate(name=own, distribution="under-test", version="0", load=lambda: plugin)]


def built_in() -> list[Candidate]:
    """The plugins that come with the relay, but for those that bring agents."""
    ours = [each for each in installed() if each.distribution == DISTRIBUTION]
    return [each for each in ours if "register_adapters" not in check(each.load(), each.name)]


def _installed(name: str) -> list[Candidate]:
    everything = installed()
    found = [each for each in everything if each.name == name]
    if not found:
        names = ", ".join(sorted(each.name for each in everything))
        raise HarnessError(f"no plugin {name!r} is installed; there are: {names}")
    return found
