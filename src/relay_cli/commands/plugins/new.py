"""`agent-relay plugins new`."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from pathlib import Path

import click

from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.plugin_projects import Kind, Project, fault_of, files_of
from relay_cli.problems import Failed, Usage
from relay_cli.version import version
from relay_core.discovery import installed
from relay_core.messages import Struct


class NewProject(Struct):
    """What `plugins new --json` prints; `next` are the commands that are to follow."""

    name: str
    kind: Kind
    folder: str
    distribution: str
    package: str
    files: tuple[str, ...]
    next: tuple[str, ...]


@click.command(
    "new",
    help="""Write a plugin to begin with: a project with types, tests and a README.

    NAME is the plugin's name, as `agent-relay plugins` will list it: a-z, 0-9 and hyphens. The
    project comes into a new folder of that name. What it holds works and passes its own tests;
    change it into what you want.

    \b
    --kind prompt    changes how messages are shown
    --kind delivery  changes when and how they enter a session
    --kind filter    holds some, and leaves some out
    --kind adapter   brings another kind of agent

    \b
    Examples:
      agent-relay plugins new hello
      agent-relay plugins new calm-hours --kind filter
      agent-relay plugins new notebook --kind adapter --into ~/src/relay-notebook
    """,
)
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in Kind]),
    default=Kind.PROMPT.value,
    show_default=True,
    help="What the plugin is about.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The project's folder; it must be new or empty. Default: NAME, here.",
)
@json_option
def command(name: str, kind: str, into: Path | None, output: Output) -> None:
    """Write a plugin to begin with."""
    project = Project(name=name, kind=Kind(kind))
    folder = into or Path(name)
    _refuse_name(project)
    _refuse_folder(folder)
    files = files_of(project, version())
    _write(folder, files)
    made = NewProject(
        name=name,
        kind=project.kind,
        folder=str(folder.absolute()),
        distribution=project.distribution,
        package=project.package,
        files=tuple(files),
        next=_next(folder),
    )
    output.show_object(made)
    output.line(f"{folder} holds a plugin: {project.summary}")
    for path in made.files:
        output.line(f"  {path}")
    output.line("next:")
    for each in made.next:
        output.line(f"  {each}")


def _refuse_name(project: Project) -> None:
    name = project.name
    if (fault := fault_of(name)) is not None:
        raise Usage(f"{name!r} cannot be a plugin's name", fix=fault)
    for each in installed():
        if name in {each.name, each.distribution}:
            owner = f"{each.distribution} {each.version}".rstrip()
            raise Failed(
                f"a plugin {name} is installed already, by {owner}", fix="use another name"
            )
    if importlib.util.find_spec(project.package) is not None:
        raise Failed(f"a package {project.package} is installed already", fix="use another name")


def _refuse_folder(folder: Path) -> None:
    try:
        if not any(folder.iterdir()):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failed(
            f"{folder} cannot be used: {error.strerror}", fix="use --into FOLDER"
        ) from error
    raise Failed(f"{folder} is there and not empty", fix="use --into FOLDER, or another name")


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as new:
                new.write(text)
    except OSError as error:
        raise Failed(
            f"{folder} cannot be written: {error.strerror}", fix="use --into FOLDER"
        ) from error


def _next(folder: Path) -> tuple[str, ...]:
    """Name the commands that are to follow, for the environment that this command runs in."""
    python = Path(sys.executable)
    found = shutil.which("python")
    here = found is not None and Path(found).parent == python.parent
    run = "python" if here else shlex.quote(str(python))
    return (
        f"cd {shlex.quote(str(folder))}",
        f"{run} -m pip install -e '.[test]'",
        "pytest" if here else f"{run} -m pytest",
    )
