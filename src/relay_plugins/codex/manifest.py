"""The folder that Codex reads: where it comes from, what stands in it, what it is called there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from relay_core import AdapterError
from relay_plugins.codex.address import ADAPTER

MARKETPLACE = "agent-relay"
PLUGIN = "relay"
PLUGIN_ID = f"{PLUGIN}@{MARKETPLACE}"
HOOK_KEYS = f"{PLUGIN_ID}:"
"""How each key begins under which Codex keeps the trust in a hook of this plugin."""
PARTS = (".agents", "plugins")
"""What of the folder is copied; the rest is for readers of the source."""
PLUGIN_FOLDER = Path("plugins") / PLUGIN
NAME = "plugin_manifest"

Files = dict[str, bytes]
"""Path inside a folder, with `/`, to content."""


class _PluginJson(msgspec.Struct):
    version: str


class _Handler(msgspec.Struct):
    command: str


class _Group(msgspec.Struct):
    hooks: tuple[_Handler, ...]


class _HooksJson(msgspec.Struct):
    hooks: dict[str, tuple[_Group, ...]]


def manifest_folder() -> Path:
    """Find the folder: inside the package in a wheel, at the top of a source checkout.

    Raises AdapterError where it is in neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / NAME, package.parents[2] / NAME):
        if (folder / PARTS[0]).is_dir():
            return folder
    detail = f"this installation is not whole: {package / NAME} is missing"
    raise AdapterError(ADAPTER, detail, fix="install agent-relay-codex again")


def manifest_files(folder: Path) -> Files:
    """Read what Codex is given of such a folder; empty where there is none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in PARTS
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and not _made_by_python(path)
    }


def plugin_files(files: Files) -> Files:
    """Take the plugin's own files out of the folder's, as Codex copies them."""
    above = f"{PLUGIN_FOLDER.as_posix()}/"
    return {
        name.removeprefix(above): text for name, text in files.items() if name.startswith(above)
    }


def read_plugin(folder: Path) -> Files:
    """Read Codex's own copy of a plugin; empty where there is none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _made_by_python(path)
    }


def digest(files: Files) -> str:
    """Name a folder by its content: the sha256 of names and bytes, in hex."""
    whole = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def plugin_version(files: Files) -> str:
    """Read the version that the plugin has for Codex; not the one of this distribution."""
    text = files[f"{PLUGIN_FOLDER.as_posix()}/.codex-plugin/plugin.json"]
    return msgspec.json.decode(text, type=_PluginJson).version


def cached_plugin(codex_home: Path, version: str) -> Path:
    """Where Codex keeps its copy of the plugin."""
    return cache_folder(codex_home) / PLUGIN / version


def cache_folder(codex_home: Path) -> Path:
    """Where Codex keeps its copies of this marketplace's plugins."""
    return codex_home / "plugins" / "cache" / MARKETPLACE


def hook_command(files: Files, plugin_root: Path) -> str:
    """Tell what Codex will run, as it shows it to the user."""
    text = files[f"{PLUGIN_FOLDER.as_posix()}/hooks/hooks.json"]
    events = msgspec.json.decode(text, type=_HooksJson).hooks
    (command,) = [
        handler.command for groups in events.values() for group in groups for handler in group.hooks
    ]
    return command.replace("${PLUGIN_ROOT}", str(plugin_root))


def _made_by_python(path: Path) -> bool:
    return "__pycache__" in path.parts
