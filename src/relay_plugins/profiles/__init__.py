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
from relay_plugins.profiles.file import Profile, profiles_in
from relay_plugins.profiles.variables import (
    APPROVAL,
    CAPS,
    CHANNELS,
    FILE,
    LABEL,
    PROFILE,
    RIG,
    TAGS,
    VARIABLES,
    channels,
    listed,
    one_word,
    profiles_file,
)

__all__ = ["VARIABLES", "check_profiles", "profile_for", "profiles_path"]

DEFAULT_CAPABILITIES = ("chat",)
MAX_BYTES = 1024 * 1024


@hookimpl(trylast=True)
def on_register(registration: Registration, environment: Environment) -> RegistrationPatch:
    """Give a session its label, tags, capabilities, channels, approval mode and meta."""
    profile = profile_for(environment, registration.cwd)
    capabilities = listed(CAPS.name, environment.get(CAPS.name, "")) or profile.capabilities
    meta = dict(profile.meta)
    if profile.name:
        meta["profile"] = msgspec.Raw(msgspec.json.encode(profile.name))
    return RegistrationPatch(
        label=one_word(LABEL.name, environment.get(LABEL.name, "")) or profile.label,
        tags=_tags(registration, environment, profile),
        capabilities=capabilities or DEFAULT_CAPABILITIES,
        channels=channels(CHANNELS.name, environment.get(CHANNELS.name, "")) or profile.channels,
        approval=_approval(environment) or profile.approval,
        profile=profile.name or None,
        meta=meta or None,
    )


def profiles_path(environment: Environment) -> Path:
    """Where profiles.json is: named by the session's environment, else this process's, else in
    the usual place."""
    named = environment.get(FILE.name) or os.environ.get(FILE.name)
    if not named:
        return find_places(os.environ, os.getuid()).profiles_file
    named = profiles_file(FILE.name, named)
    return Path(f"{_home(environment)}/{named[2:]}" if named.startswith("~/") else named)


def check_profiles(file: Path, wanted: str = "") -> tuple[str, ...] | None:
    """Read a profiles.json as a registration would, and name its profiles; None without a file.

    SettingsError for what would refuse a session, a profile `wanted` that is not there included.
    """
    text = read_user_file(file, max_bytes=MAX_BYTES)
    if text is None:
        if wanted:
            raise _no_file(file, wanted)
        return None
    profiles = profiles_in(text, file)
    if wanted:
        chosen(profiles, wanted, "/", home="", file=file)
    return tuple(profiles)


def profile_for(environment: Environment, cwd: str) -> Profile:
    """Find the profile of a session in a folder: an empty one where none is meant for it."""
    file = profiles_path(environment)
    text = read_user_file(file, max_bytes=MAX_BYTES)
    wanted = environment.get(PROFILE.name, "").strip()
    if text is None:
        if wanted:
            raise _no_file(file, wanted)
        return Profile()
    return chosen(profiles_in(text, file), wanted, cwd, home=_home(environment), file=file)


def _no_file(file: Path, wanted: str) -> SettingsError:
    fix = f"write {file}, or unset {PROFILE.name}"
    return SettingsError(f"{PROFILE.name}={wanted}, but there is no such file", file=file, fix=fix)


def _home(environment: Environment) -> str:
    return environment.get("HOME") or os.environ.get("HOME") or ""


def _tags(
    registration: Registration, environment: Environment, profile: Profile
) -> tuple[str, ...]:
    rig = one_word(RIG.name, environment.get(RIG.name, "")) or registration.rig
    folder = registration.cwd.rstrip("/").rpartition("/")[2]
    project = folder if folder.isprintable() and folder else "unknown"
    own = listed(TAGS.name, environment.get(TAGS.name, "")) or profile.tags
    every = (registration.provider, rig, project, *own, *registration.tags)
    return tuple(dict.fromkeys(tag for tag in every if tag))


def _approval(environment: Environment) -> str | None:
    APPROVAL.check(environment)
    return environment.get(APPROVAL.name) or None
