"""Finds the Codex binary."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from relay_core import AdapterError, SettingsError

ADAPTER = "codex"
BIN_VARIABLE = "AGENT_RELAY_CODEX_BIN"
VERSION_TIMEOUT_S = 20.0
OLDEST_CODEX = (0, 163)
"""The first release whose sessions can be reached."""

NEWEST_CODEX = (0, 169)
"""The last release that the tests ran on."""
FIX = (
    "install Codex so that `codex` is on PATH, or run: pip install 'agent-relay-codex[codex]', "
    f"or set {BIN_VARIABLE}"
)


class CodexBinary(msgspec.Struct, frozen=True, kw_only=True):
    """A Codex that can be run.

    `version` is what it says of itself, such as ``0.163.0``. `extra_path` is the folder of the
    programs that came with it (`rg`), to be put on its PATH; None where there is none.
    """

    path: Path
    version: str
    extra_path: Path | None = None

    @property
    def release(self) -> tuple[int, int] | None:
        """The first two numbers of the version; None where it has none."""
        numbers = re.match(r"([0-9]{1,6})\.([0-9]{1,6})", self.version)
        return None if numbers is None else (int(numbers[1]), int(numbers[2]))

    @property
    def too_old(self) -> bool:
        """Whether its sessions cannot be reached and it takes no plugin; False if nobody knows."""
        return self.release is not None and self.release < OLDEST_CODEX

    def path_variable(self, environ: Mapping[str, str]) -> str:
        """Return the PATH to run it with."""
        ours = [] if self.extra_path is None else [str(self.extra_path)]
        return os.pathsep.join([*ours, environ.get("PATH") or os.defpath])


def find_codex(environ: Mapping[str, str]) -> CodexBinary:
    """Find Codex: AGENT_RELAY_CODEX_BIN (the command line also puts there what `bin` in config.toml
    names), else `codex` on PATH, else the one of the extra `codex`.

    Runs it once to learn its version. Raises SettingsError where the variable names no program,
    AdapterError where there is no Codex or it does not run.
    """
    path = _named(environ) or _on_path(environ) or _bundled()
    if path is None:
        raise AdapterError(ADAPTER, "there is no Codex on this machine", fix=FIX)
    return codex_at(path, environ)


def codex_at(path: Path, environ: Mapping[str, str]) -> CodexBinary:
    """Describe the Codex at `path`; raises AdapterError where it does not run."""
    programs = path.resolve().parent.parent / "codex-path"
    return CodexBinary(
        path=path,
        version=_version(path, environ),
        extra_path=programs if programs.is_dir() else None,
    )


def _named(environ: Mapping[str, str]) -> Path | None:
    value = environ.get(BIN_VARIABLE)
    if not value:
        return None
    path = Path(value).expanduser()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise SettingsError(
            f"there is no program {value}, which {BIN_VARIABLE} names, or bin in config.toml",
            fix=f"set {BIN_VARIABLE} to the path of codex, or unset it",
        )
    return path


def _on_path(environ: Mapping[str, str]) -> Path | None:
    found = shutil.which("codex", path=environ.get("PATH") or os.defpath)
    return Path(found) if found else None


def _bundled() -> Path | None:
    """The binary of `openai-codex-cli-bin`, whose wheel installs no script."""
    try:
        package = importlib.import_module("codex_cli_bin")
    except ModuleNotFoundError:
        return None
    path = Path(str(package.bundled_codex_path()))
    return path if path.is_file() else None


def _version(path: Path, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise AdapterError(ADAPTER, f"{path} does not run: {error}", fix=FIX) from error
    words = done.stdout.split()
    if not words:
        raise AdapterError(ADAPTER, f"{path} does not tell its version", fix=FIX)
    return words[-1]
