"""The environment variables that say what a session is called and can do."""

from __future__ import annotations

from relay_core import Reach, SettingsError, Variable, absolute_path, chosen_from
from relay_plugins.profiles.file import APPROVALS, words


def one_word(name: str, value: str) -> str:
    """Read a short printable word; blanks around it do not count, nothing but blanks is nothing."""
    word = value.strip()
    return words((word,), name)[0] if word else ""


def listed(name: str, value: str) -> tuple[str, ...]:
    """Split what is separated by commas; empty parts and repetitions do not count."""
    parts = (part.strip() for part in value.split(","))
    return words(tuple(dict.fromkeys(part for part in parts if part)), name)


def channels(name: str, value: str) -> tuple[str, ...]:
    """Read channels; there is no word for all of them but leaving the variable out."""
    found = listed(name, value)
    if "*" in found:
        raise SettingsError(f"{name}: '*' is no channel", fix=f"unset {name}: all channels")
    return found


def profiles_file(name: str, value: str) -> str:
    """Check the path of profiles.json: absolute, or below `~/`."""
    if not value.startswith("~/"):
        absolute_path(name, value)
    elif "\0" in value:
        raise SettingsError(f"{name} holds a NUL", fix=f"unset {name}")
    return value


FILE = Variable(
    name="AGENT_RELAY_PROFILES_FILE",
    meaning="The file with the profiles.",
    default="~/.config/agent-relay/profiles.json",
    reach=Reach.MACHINE,
    read=profiles_file,
)
PROFILE = Variable(
    name="AGENT_RELAY_PROFILE",
    meaning="The profile of the session.",
    default="the profile whose `match` fits the session's folder",
    reach=Reach.SESSION,
    read=one_word,
)
LABEL = Variable(
    name="AGENT_RELAY_LABEL",
    meaning="What people call the session.",
    default="the profile's",
    reach=Reach.SESSION,
    read=one_word,
)
TAGS = Variable(
    name="AGENT_RELAY_TAGS",
    meaning="Tags, separated by commas, beside those of provider, rig and project.",
    default="the profile's",
    reach=Reach.SESSION,
    read=listed,
)
CAPS = Variable(
    name="AGENT_RELAY_CAPS",
    meaning="What the session can do, separated by commas.",
    default="the profile's, else chat",
    reach=Reach.SESSION,
    read=listed,
)
CHANNELS = Variable(
    name="AGENT_RELAY_CHANNELS",
    meaning="The channels that the session gets messages of, separated by commas.",
    default="the profile's, else all",
    reach=Reach.SESSION,
    read=channels,
)
APPROVAL = Variable(
    name="AGENT_RELAY_APPROVAL",
    meaning="What the session may do without asking: open, guarded or read-only.",
    default="the profile's, else Codex's own settings",
    reach=Reach.SESSION,
    read=chosen_from(APPROVALS, "approval mode"),
)
RIG = Variable(
    name="AGENT_RELAY_CODEX_RIG",
    meaning="The tag that names the kind of set-up.",
    default="codex-live",
    reach=Reach.SESSION,
    read=one_word,
)

VARIABLES = (FILE, PROFILE, LABEL, TAGS, CAPS, CHANNELS, APPROVAL, RIG)
