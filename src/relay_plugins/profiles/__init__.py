"""Profiles: what a session is called and can do, from the environment and profiles.json.

An environment variable beats the profile, the profile beats the default; the environment counts
only where it belongs to one session. A profile is named by AGENT_RELAY_PROFILE, or chosen by its
`match`: the folders in which it applies. Whatever in the file cannot be understood refuses the
session, with the file, the line and the reason: nothing falls back to a weaker profile.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from relay_core import (
    Environment,
    Registration,
    RegistrationPatch,
    SettingsError,
    find_places,
    hookimpl,
    read_user_file,
)
from relay_plugins.profiles.choice import chosen
from relay_plugins.profiles.file import APPROVALS, Profile, profiles_in, words

FILE = "AGENT_RELAY_PROFILES_FILE"
NAME = "AGENT_RELAY_PROFILE"
DEFAULT_CAPABILITIES = ("chat",)
MAX_BYTES = 1024 * 1024


@hookimpl(trylast=True)
def on_register(registration: Registration, environment: Environment) -> RegistrationPatch:
    """Give a session its label, tags, capabilities, channels, approval mode and meta."""
    profile = _profile(registration, environment)
    capabilities = _listed(environment, "AGENT_RELAY_CAPS") or profile.capabilities
    meta = dict(profile.meta)
    if profile.name:
        meta["profile"] = msgspec.Raw(msgspec.json.encode(profile.name))
    return RegistrationPatch(
        label=_label(environment) or profile.label,
        tags=_tags(registration, environment, profile),
        capabilities=capabilities or DEFAULT_CAPABILITIES,
        channels=_listed(environment, "AGENT_RELAY_CHANNELS") or profile.channels,
        approval=_approval(environment) or profile.approval,
        profile=profile.name or None,
        meta=meta or None,
    )


def _profile(registration: Registration, environment: Environment) -> Profile:
    file = _file(environment)
    text = read_user_file(file, max_bytes=MAX_BYTES)
    wanted = environment.get(NAME, "").strip()
    if text is None:
        if wanted:
            fix = f"write {file}, or unset {NAME}"
            raise SettingsError(f"{NAME}={wanted}, but there is no such file", file=file, fix=fix)
        return Profile()
    return chosen(
        profiles_in(text, file), wanted, registration.cwd, home=_home(environment), file=file
    )


def _file(environment: Environment) -> Path:
    """The session's own file, else the one of this process, else the one in the usual place."""
    named = environment.get(FILE) or os.environ.get(FILE)
    if not named:
        return find_places(os.environ, os.getuid()).profiles_file
    if named.startswith("~/"):
        named = f"{_home(environment)}/{named[2:]}"
    if not named.startswith("/") or "\0" in named:
        raise SettingsError(f"{FILE}={named!r} is no absolute path", fix=f"unset {FILE}")
    return Path(named)


def _home(environment: Environment) -> str:
    return environment.get("HOME") or os.environ.get("HOME") or ""


def _tags(
    registration: Registration, environment: Environment, profile: Profile
) -> tuple[str, ...]:
    rig = environment.get("AGENT_RELAY_CODEX_RIG", "").strip() or registration.rig
    folder = registration.cwd.rstrip("/").rpartition("/")[2]
    project = folder if folder.isprintable() and folder else "unknown"
    own = _listed(environment, "AGENT_RELAY_TAGS") or profile.tags
    every = (registration.provider, rig, project, *own, *registration.tags)
    return tuple(dict.fromkeys(tag for tag in every if tag))


def _label(environment: Environment) -> str | None:
    label = environment.get("AGENT_RELAY_LABEL", "").strip()
    return words((label,), "AGENT_RELAY_LABEL")[0] if label else None


def _listed(environment: Environment, variable: str) -> tuple[str, ...]:
    """Split what is separated by commas; empty parts and repetitions do not count."""
    parts = (part.strip() for part in environment.get(variable, "").split(","))
    return words(tuple(dict.fromkeys(part for part in parts if part)), variable)


def _approval(environment: Environment) -> str | None:
    approval = environment.get("AGENT_RELAY_APPROVAL", "")
    if approval and approval not in APPROVALS:
        raise SettingsError(
            f"AGENT_RELAY_APPROVAL={approval!r} is no approval mode",
            fix=f"use one of {', '.join(APPROVALS)}",
        )
    return approval or None
