"""Runs the tests of packages that build on Agent Relay against the relay as it is here.

`python downstream/run.py [NAME...] [--relay WHEEL-OR-FOLDER]`; without a name, all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "*.egg-info")


@dataclass(frozen=True)
class Recipe:
    """Where a package is and how it is tested; the keys of its file."""

    name: str
    test: Sequence[str]
    folder: str = "."
    repository: str | None = None
    ref: str | None = None
    extras: Sequence[str] = ()


class Failed(Exception):
    """A step ended with an exit code that is not 0."""


def recipes(folder: Path = HERE) -> dict[str, Recipe]:
    """Read every file; an unknown key or a missing one is a TypeError that names it."""
    files = sorted(folder.glob("*.toml"))
    return {file.stem: Recipe(name=file.stem, **tomllib.loads(file.read_text())) for file in files}


def run(recipe: Recipe, relay: str) -> None:
    """Test one package in an environment of its own."""
    with tempfile.TemporaryDirectory(prefix="downstream-") as place:
        source = fetch(recipe, Path(place))
        programs = Path(place) / "venv" / "bin"
        venv.create(programs.parent, with_pip=True)
        extras = f"[{','.join(recipe.extras)}]" if recipe.extras else ""
        install = ("-m", "pip", "install", "-q", relay, f"{source}{extras}")
        _call([str(programs / "python"), *install], source)
        _call(recipe.test, source, first_on_path=programs)


def fetch(recipe: Recipe, place: Path) -> Path:
    """Copy a package, or clone its repository, and give the folder that it is in."""
    source = place / "source"
    if recipe.repository is None:
        shutil.copytree(ROOT / recipe.folder, source, ignore=LEFT_BEHIND)
        return source
    branch = ("--branch", recipe.ref) if recipe.ref else ()
    _call(["git", "clone", "-q", "--depth", "1", *branch, recipe.repository, str(source)], place)
    return source / recipe.folder


def _call(command: Sequence[str], folder: Path, first_on_path: Path | None = None) -> None:
    environment = dict(os.environ)
    if first_on_path is not None:
        environment["PATH"] = f"{first_on_path}{os.pathsep}{environment.get('PATH', '')}"
    print("$", *command, flush=True)
    # Looked up by hand: what is on the child's PATH is not what counts for its program.
    program = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    done = subprocess.run([program, *command[1:]], cwd=folder, env=environment, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Test what is named; 0 where everything passed, 1 where not, 2 for a name that is unknown."""
    known = recipes()
    asked = argparse.ArgumentParser(
        description="Run the tests of packages that build on the relay."
    )
    asked.add_argument("name", nargs="*", help=f"what to test: {', '.join(known)}")
    asked.add_argument("--relay", default=str(ROOT), help="what pip installs of the relay")
    wanted = asked.parse_args(arguments)
    if unknown := [name for name in wanted.name if name not in known]:
        asked.error(f"there is no {unknown[0]}; there are {', '.join(known)}")
    outcomes: dict[str, str] = {}
    for name in wanted.name or known:
        print(f"=== {name}", flush=True)
        try:
            run(known[name], wanted.relay)
        except Failed as failed:  # told at the end, with exit code 1; the others are not to wait
            outcomes[name] = f"FAILED: {failed}"
        else:
            outcomes[name] = "passed"
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    return 0 if set(outcomes.values()) <= {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main())
