"""What `agent-relay plugins new` writes: a project for each kind of plugin, as files.

The files stand in `templates`: those of a kind, and those of `every` kind that the kind has none of
its own for. Their names end in `.in`, so that nothing takes them for code; `PACKAGE` and `MODULE`
in a path, and `${...}` in a text, are filled in.
"""

# Rule: nothing here looks at the disk but for the templates, or at what is installed.

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from string import Template

from relay_core.messages import Struct

LONGEST_NAME = 24
PREFIX = "relay-"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_EVERY = "every"
_SUFFIX = ".in"


class Kind(enum.StrEnum):
    """What a plugin is about."""

    PROMPT = "prompt"
    DELIVERY = "delivery"
    FILTER = "filter"
    ADAPTER = "adapter"


class _About(Struct):
    """What is said of a kind; `object` is what the entry point names in the package."""

    summary: str
    more: str
    object: str = ""


_ABOUT = {
    Kind.PROMPT: _About(
        summary="a line above every text that an agent is shown",
        more="It wraps one hook, `format_prompt`, so that it goes with whoever writes the text.",
    ),
    Kind.DELIVERY: _About(
        summary="a running turn may end before messages come in",
        more="It answers one hook, `choose_delivery`, and leaves the rest to the next plugin.",
    ),
    Kind.FILTER: _About(
        summary="some messages are held or left out by their subjects",
        more="It answers one hook, `on_message`, as its table in config.toml says.",
        object=":plugin",
    ),
    Kind.ADAPTER: _About(
        summary="a way to one more kind of agent",
        more="Its agent is a toy: put yours into the place of `agent.py` and say in `driver.py` "
        "how it is driven; `agent-relay plugins check` then tries all that the relay builds on.",
        object=":plugin",
    ),
}


class Project(Struct):
    """A plugin to be: its name, and what follows from that."""

    name: str
    kind: Kind

    @property
    def distribution(self) -> str:
        """What is installed and uninstalled."""
        return f"{PREFIX}{self.name}"

    @property
    def package(self) -> str:
        """What is imported."""
        return self.distribution.replace("-", "_")

    @property
    def summary(self) -> str:
        """What it does, in a few words."""
        return _ABOUT[self.kind].summary


def fault_of(name: str) -> str | None:
    """Say what is wrong with a plugin's name; None where it can be one."""
    if name.startswith("relay."):
        return "names that begin with relay. are those of the plugins that come with the relay"
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        return f"use up to {LONGEST_NAME} of a-z and 0-9, with single hyphens between words"
    return None


def files_of(project: Project, relay_version: str) -> dict[str, str]:
    """Write a project: the text of each file by its path, with slashes, in the project's folder."""
    about = _ABOUT[project.kind]
    values = {
        "name": project.name,
        "distribution": project.distribution,
        "package": project.package,
        "object": f"{project.package}{about.object}",
        "summary": about.summary,
        "more": about.more,
        "relay": relay_version,
    }
    templates = resources.files(__name__) / "templates"
    found = dict(_files(templates / _EVERY)) | dict(_files(templates / project.kind))
    return {
        _filled_path(path, project): Template(text).substitute(values)
        for path, text in sorted(found.items())
    }


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files(each, f"{above}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield f"{above}{each.name.removesuffix(_SUFFIX)}", each.read_text(encoding="utf-8")


def _filled_path(path: str, project: Project) -> str:
    module = project.name.replace("-", "_")
    return path.replace("PACKAGE", project.package).replace("MODULE", module)
