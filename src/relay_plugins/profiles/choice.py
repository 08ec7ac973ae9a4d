"""Which profile counts for a session: the one that is named, else the one whose folders match."""

# Rule: pure. A pattern matches a folder and all below it; `*` and `?` stay within one folder's
#       name, `**` crosses folders. The longest literal prefix wins; a tie is an error that names
#       both.

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from relay_core import SettingsError
from relay_plugins.profiles.file import Profile

_WILDCARD = re.compile(r"\*\*/?|\*|\?")


def chosen(
    profiles: Mapping[str, Profile], wanted: str, cwd: str, *, home: str, file: Path
) -> Profile:
    """Pick the profile that is wanted by name, else by the session's folder, else an empty one."""
    if wanted:
        return _named(profiles, wanted, file)
    found: dict[str, tuple[int, int]] = {}
    for name, profile in profiles.items():
        for pattern, line in profile.match:
            if (length := matched(pattern, cwd, home)) is not None:
                found[name] = max(found.get(name, (-1, 0)), (length, line))
    if not found:
        return Profile()
    longest = max(length for length, _ in found.values())
    first, *others = (name for name, (length, _) in found.items() if length == longest)
    if others:
        raise SettingsError(
            f"{cwd} matches the profiles {first} and {others[0]} equally well",
            file=file,
            line=found[others[0]][1],
            fix="make one match longer, or name a profile in AGENT_RELAY_PROFILE",
        )
    return profiles[first]


def matched(pattern: str, folder: str, home: str) -> int | None:
    """Tell how long the literal beginning of a matching pattern is; None when it does not match."""
    if pattern.startswith("~"):
        if not home:
            return None
        pattern = home.rstrip("/") + pattern[1:]
    pattern = pattern.rstrip("/")
    wildcard = _WILDCARD.search(pattern)
    literal = len(pattern) if wildcard is None else wildcard.start()
    return literal if re.fullmatch(_regex(pattern), folder.rstrip("/") or "/") else None


def _regex(pattern: str) -> str:
    parts: list[str] = []
    at = 0
    for wildcard in _WILDCARD.finditer(pattern):
        parts.append(re.escape(pattern[at : wildcard.start()]))
        parts.append({"*": "[^/]*", "?": "[^/]", "**/": "(?:[^/]*/)*"}.get(wildcard[0], ".*"))
        at = wildcard.end()
    parts.append(re.escape(pattern[at:]))
    return "".join(parts) + "(?:/.*)?"


def _named(profiles: Mapping[str, Profile], wanted: str, file: Path) -> Profile:
    profile = profiles.get(wanted)
    if profile is None:
        near = difflib.get_close_matches(wanted, profiles, 1)
        fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(profiles) or 'none'}"
        raise SettingsError(f"there is no profile {wanted!r}", file=file, fix=fix)
    return profile
