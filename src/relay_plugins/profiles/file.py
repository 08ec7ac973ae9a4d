"""profiles.json: profiles by name, each checked down to its last value."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

import msgspec

from relay_core import SettingsError, Struct
from relay_plugins.profiles.located import BadJson, Located, plain, read

APPROVALS = ("open", "guarded", "read-only")
KEYS = ("label", "tags", "capabilities", "channels", "approval", "meta", "match")
RESERVED = frozenset(
    {
        "adapter",
        "appServerUrl",
        "approval",
        "approvalMode",
        "capabilities",
        "channels",
        "client",
        "cwd",
        "epoch",
        "id",
        "instanceId",
        "label",
        "model",
        "profile",
        "tags",
        "threadId",
    }
)
"""Keys that `meta` may not set: they say what a session is, and only its host knows that."""

MAX_WORDS = 100
MAX_LENGTH = 128
MAX_META_BYTES = 16 * 1024


class Profile(Struct):
    """One profile; without a name, what counts where no profile does.

    `match` holds (pattern, line) pairs.
    """

    name: str = ""
    label: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    approval: str | None = None
    meta: dict[str, msgspec.Raw] = {}
    match: tuple[tuple[str, int], ...] = ()


def profiles_in(text: str, file: Path) -> dict[str, Profile]:
    """Read all profiles of a file; SettingsError with the line of the first thing that is wrong."""
    try:
        document = read(text)
    except BadJson as error:
        raise SettingsError(f"no valid JSON: {error.reason}", file=file, line=error.line) from error
    checker = _Checker(file)
    return {
        name: checker.profile(name, each)
        for name, each in checker.object(document, "the file").items()
    }


def words(values: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Give these values back if each is a short printable word; SettingsError names `where`."""
    if wrong := _wrong_words(values):
        raise SettingsError(f"{where}: {wrong}")
    return values


def _wrong_words(values: Collection[str]) -> str | None:
    if len(values) > MAX_WORDS:
        return f"more than {MAX_WORDS} entries"
    for value in values:
        if not value:
            return "an entry is empty"
        if len(value) > MAX_LENGTH:
            return f"{value[:20]!r}… has more than {MAX_LENGTH} characters"
        if not value.isprintable():
            return f"{value!r} has characters that cannot be shown"
    return None


class _Checker:
    def __init__(self, file: Path) -> None:
        self._file = file

    def fail(self, at: Located, detail: str, fix: str | None = None) -> NoReturn:
        raise SettingsError(detail, file=self._file, line=at.line, fix=fix)

    def object(self, at: Located, what: str) -> dict[str, Located]:
        if not isinstance(at.value, dict):
            self.fail(at, f"{what} must be an object")
        return at.value

    def profile(self, name: str, at: Located) -> Profile:
        if wrong := _wrong_words((name,)):
            self.fail(at, f"a profile's name: {wrong}")
        members = self.object(at, f"profile {name}")
        for key, member in members.items():
            # Other programs share this file, so that strange keys are theirs; near ones are slips.
            if key not in KEYS and (near := difflib.get_close_matches(key, KEYS, 1, 0.75)):
                self.fail(member, f"{name}.{key} is no setting", f"did you mean {near[0]}?")
        return Profile(
            name=name,
            label=self._label(name, members.get("label")),
            tags=self._list(name, "tags", members),
            capabilities=self._list(name, "capabilities", members, no_commas=True),
            channels=self._list(name, "channels", members),
            approval=self._approval(name, members.get("approval")),
            meta=self._meta(name, members.get("meta")),
            match=self._match(name, members),
        )

    def _text(self, at: Located, what: str) -> str:
        if not isinstance(at.value, str):
            self.fail(at, f"{what} must be a string")
        value = at.value.strip()
        if wrong := _wrong_words((value,)):
            self.fail(at, f"{what}: {wrong}")
        return value

    def _label(self, name: str, at: Located | None) -> str | None:
        return None if at is None else self._text(at, f"{name}.label")

    def _list(
        self, name: str, key: str, members: dict[str, Located], *, no_commas: bool = False
    ) -> tuple[str, ...]:
        at = members.get(key)
        if at is None:
            return ()
        if not isinstance(at.value, list):
            self.fail(at, f"{name}.{key} must be a list of strings")
        found = {self._text(each, f"{name}.{key}"): each for each in at.value}
        if wrong := _wrong_words(found):
            self.fail(at, f"{name}.{key}: {wrong}")
        for value, each in found.items():
            if no_commas and "," in value:
                self.fail(each, f"{name}.{key}: {value!r} holds a comma", "write two entries")
            if key == "channels" and value == "*":
                self.fail(each, f"{name}.channels: '*' is no channel", "leave channels out: all")
        return tuple(found)

    def _approval(self, name: str, at: Located | None) -> str | None:
        if at is None:
            return None
        if not isinstance(at.value, str) or at.value not in APPROVALS:
            shown = plain(at)
            fix = f"use one of {', '.join(APPROVALS)}"
            self.fail(at, f"{name}.approval: {shown!r} is no approval mode", fix)
        return at.value

    def _meta(self, name: str, at: Located | None) -> dict[str, msgspec.Raw]:
        if at is None:
            return {}
        members = self.object(at, f"{name}.meta")
        for key, member in members.items():
            if key in RESERVED:
                self.fail(member, f"{name}.meta.{key} cannot be set in a profile")
        meta = {key: msgspec.Raw(msgspec.json.encode(plain(each))) for key, each in members.items()}
        if sum(len(key) + len(bytes(each)) for key, each in meta.items()) > MAX_META_BYTES:
            self.fail(at, f"{name}.meta is larger than {MAX_META_BYTES} bytes")
        return meta

    def _match(self, name: str, members: dict[str, Located]) -> tuple[tuple[str, int], ...]:
        at = members.get("match")
        if at is None:
            return ()
        each_at = at.value if isinstance(at.value, list) else [at]
        found: list[tuple[str, int]] = []
        for each in each_at:
            pattern = self._text(each, f"{name}.match")
            if not pattern.startswith(("/", "~/")) and pattern != "~":
                fix = "begin it with / or ~/"
                self.fail(each, f"{name}.match: {pattern!r} is no absolute folder", fix)
            found.append((pattern, each.line))
        return tuple(found)
